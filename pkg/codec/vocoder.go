package codec

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// vocoder is the decoder's blocks in C: 95 % of its work. It has a copy of their weights, in the order that the kernels
// read, which is right as long as the parameters are what they were and are not trained.
type vocoder struct {
	wave *native.Wave
	from source
}

// source is what the weights were copied from: the tensors, and a few numbers of each. Training changes numbers in place,
// and a step of it nearly all of them.
type source struct {
	tensors []*ts.Tensor
	sample  []byte
}

func (s source) equal(o source) bool {
	return slices.Equal(s.tensors, o.tensors) && bytes.Equal(s.sample, o.sample)
}

// sampled numbers, from the middle of each tensor.
const sampled = 64

// source of the blocks as they are now; trained tells that gradients are recorded.
func (d *Decoder) source() (s source, trained bool, err error) {
	err = nn.Run(func(c *nn.Context) error {
		for _, p := range nn.Params(d.blocks) {
			if p.T == nil {
				return fmt.Errorf("codec: parameter %q has no value", p.Name)
			}
			records, err := p.T.RequiresGrad()
			if err != nil || records {
				trained = true
				return err
			}
			n := p.NumElements()
			few := min(n, sampled)
			numbers, err := tensor.Bytes(c.Narrow(c.Reshape(p.T, -1), 0, (n-few)/2, few))
			if err != nil {
				return err
			}
			s.tensors, s.sample = append(s.tensors, p.T), append(s.sample, numbers...)
		}
		return nil
	})
	return s, trained, err
}

// vocoder of the blocks, or nil where libtorch has to compute them: on a GPU, in float64, and while they are trained.
func (m *Codec) vocoder() (*vocoder, error) {
	if m.Device.Name != gotch.CPU.Name || m.DType != gotch.Float && m.DType != gotch.BFloat16 {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	from, trained, err := m.Decoder.source()
	if err != nil || trained {
		return nil, err
	}
	if m.fast != nil && m.fast.from.equal(from) {
		return m.fast, nil
	}
	if m.fast != nil {
		m.fast.wave.Close() // the streams that still use it are those of other weights
		m.fast = nil
	}
	steps, err := m.Decoder.steps()
	if err != nil {
		return nil, err
	}
	kernels := "" // float32: of bfloat16 weights too, where the CPU cannot multiply them
	if names := native.WaveKernels(true); m.DType == gotch.BFloat16 && len(names) > 0 {
		kernels = names[len(names)-1]
	}
	wave, err := native.NewWave(len(steps), tensor.Threads(), kernels, func(i int) (*native.WaveStep, error) { return steps[i].read() })
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	m.fast = &vocoder{wave, from}
	return m.fast, nil
}

// rowsAtOnce of the blocks, 8 frames of the published model: their buffers stay small, and a piece's in the cache.
const rowsAtOnce = 32

// run goes on with a signal: x [1, C, T] becomes samples in [-1, 1].
func (v *vocoder) run(c *nn.Context, state []byte, x *ts.Tensor) ([]float32, error) {
	rows, err := tensor.Floats(c.Transpose(x, 1, 2)) // [T, C]
	if err != nil {
		return nil, err
	}
	var out []float32
	for size := rowsAtOnce * int(c.Shape(x)[1]); len(rows) > 0; rows = rows[min(size, len(rows)):] {
		wav, err := v.wave.Run(state, rows[:min(size, len(rows))])
		if err != nil {
			return nil, err
		}
		for _, s := range wav {
			out = append(out, min(max(s, -1), 1))
		}
	}
	return out, nil
}

// step is a convolution of the blocks, and what surrounds it.
type step struct {
	conv      *causalConv
	transpose *causalConvTranspose // instead of conv
	after     *snake
	add, keep bool
}

// steps of the blocks, in order.
func (d *Decoder) steps() ([]*step, error) {
	var list []*step
	var flatten func(l layer) error
	flatten = func(l layer) error {
		var last *step
		if len(list) > 0 {
			last = list[len(list)-1]
		}
		switch l := l.(type) {
		case *causalConv:
			list = append(list, &step{conv: l})
		case *causalConvTranspose:
			list = append(list, &step{transpose: l})
		case *snake:
			if last == nil || last.after != nil {
				return errors.New("codec: an activation that follows no convolution")
			}
			last.after = l
		case chain:
			for _, link := range l {
				if err := flatten(link.layer); err != nil {
					return err
				}
			}
		case *residual:
			if last == nil || last.after != nil || l.shortcut != nil {
				return errors.New("codec: a residual unit that adds to no convolution's output")
			}
			last.keep = true
			if err := flatten(l.branch); err != nil {
				return err
			}
			list[len(list)-1].add = true
		default:
			return fmt.Errorf("codec: a layer %T among the blocks", l)
		}
		return nil
	}
	return list, flatten(d.blocks)
}

// read copies the step's weights.
func (s *step) read() (out *native.WaveStep, err error) {
	err = nn.Run(func(c *nn.Context) error {
		out = &native.WaveStep{Phases: 1, Dilation: 1, Add: s.add, Keep: s.keep}
		var w *ts.Tensor // [phases, taps, in, out]
		var bias *nn.Param
		if s.conv != nil {
			size := s.conv.W.Shape // [out, in, k]
			out.In, out.Out, out.Taps, out.Dilation = int(size[1]), int(size[0]), int(size[2]), int(max(s.conv.Conv.Dilation, 1))
			w, bias = c.Permute(s.conv.W.T, 2, 1, 0), s.conv.B
		} else {
			// Sample p of a row hears this row by tap p of the kernel, and the one before by tap p + stride.
			size, stride := s.transpose.W.Shape, s.transpose.Conv.Stride // [in, out, k]
			taps := size[2] / stride
			out.In, out.Out, out.Taps, out.Phases = int(size[0]), int(size[1]), int(taps), int(stride)
			k := c.Permute(c.Reshape(s.transpose.W.T, size[0], size[1], taps, stride), 3, 2, 0, 1)
			late := make([]int64, taps)
			for j := range late {
				late[j] = taps - 1 - int64(j)
			}
			w, bias = c.IndexSelect(k, 1, c.FromInts(late, taps)), s.transpose.B
		}
		read := func(to *[]float32, t *ts.Tensor) {
			v, err := tensor.Floats(t)
			c.Check("weights", err)
			*to = v
		}
		read(&out.Weight, w)
		read(&out.Bias, bias.T)
		if s.after != nil {
			read(&out.Alpha, s.after.alpha.T)
			read(&out.Beta, s.after.beta.T)
		}
		return nil
	})
	return out, err
}
