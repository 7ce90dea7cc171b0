package nn

import (
	"fmt"
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Init gives every parameter of m its initial value in float32 on the CPU: with libtorch's generator,
// seeded here, in the order of the tree. Embeddings are drawn from N(0, std²), matrices [out, in] from N(0, 1/in),
// kernels [out, in, k] from N(0, 1/(in·k)); norm gains are 1, biases 0.
func Init(m Module, seed int64, std float64) error {
	if err := tensor.Seed(seed); err != nil {
		return fmt.Errorf("nn: init: %w", err)
	}
	for _, p := range Params(m) {
		err := tensor.Run(func(s *tensor.Scope) error {
			p.Set(s.Release(initial(s, p, std)))
			return nil
		})
		if err != nil {
			return fmt.Errorf("nn: init %s: %w", p.Name, err)
		}
	}
	return nil
}

func initial(s *tensor.Scope, p *Param, std float64) *ts.Tensor {
	switch p.Initial {
	case Ones:
		return s.Ones(gotch.Float, p.Shape...)
	case Zeros:
		return s.Zeros(gotch.Float, p.Shape...)
	case Constant:
		return s.Full(gotch.Float, p.Fill, p.Shape...)
	case FanIn:
		std = 1 / math.Sqrt(float64(p.NumElements()/p.Shape[0]))
	}
	return s.MulScalar(s.Randn(p.Shape...), std)
}

// Copy gives every parameter of dst a copy of the value of src's parameter of the same name, in dtype.
func Copy(dst, src Module, dtype gotch.DType) error {
	from := make(map[string]*Param)
	for _, p := range Params(src) {
		from[p.Name] = p
	}
	for _, p := range Params(dst) {
		q := from[p.Name]
		if q == nil || q.T == nil {
			return fmt.Errorf("nn: copy: %q has no value in the source", p.Name)
		}
		err := tensor.Run(func(s *tensor.Scope) error {
			p.Set(s.Release(s.Clone(s.To(s.Detach(q.T), dtype))))
			return nil
		})
		if err != nil {
			return fmt.Errorf("nn: copy %s: %w", p.Name, err)
		}
	}
	return nil
}
