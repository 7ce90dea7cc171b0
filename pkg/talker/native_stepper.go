package talker

import (
	"errors"
	"fmt"
	"time"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// nativeStepper is a Stepper of native kernels. Padding is left out, so that a sequence in a batch is computed as it is
// alone.
type nativeStepper struct {
	e          *engine
	stack      *native.Stack
	width, out int64

	prefilled, stepped *time.Duration
}

// floats are the rows of x for the kernels, which no watcher sees and nothing flows back through.
func (s *nativeStepper) floats(c *nn.Context, x *ts.Tensor) []float32 {
	if c.Input != nil || c.Output != nil {
		c.Fail("native decoder", "its inner values cannot be watched; use libtorch's steppers")
	}
	v, err := tensor.Floats(x)
	c.Check("native decoder", err)
	return v
}

func (s *nativeStepper) Prefill(c *nn.Context, x *ts.Tensor, mask []int64) *ts.Tensor {
	defer book(s.prefilled, time.Now())
	c.Check("native decoder", s.e.bind())
	size := c.Shape(x)
	B, T, W := int(size[0]), int(size[1]), int(size[2])
	rows, err := realRows(mask, B, T)
	c.Check("native decoder", err)
	all := s.floats(c, x)
	var packed []float32
	for b, n := range rows {
		packed = append(packed, all[((b+1)*T-int(n))*W:(b+1)*T*W]...)
	}
	packed = s.enter(c, packed)
	h := make([]float32, B*int(s.out))
	c.Check("native decoder", s.stack.Prefill(packed, rows, h))
	return c.FromFloats(h, int64(B), s.out)
}

// realRows are the rows of each sequence behind its padding.
func realRows(mask []int64, B, T int) ([]int32, error) {
	rows := make([]int32, B)
	for b := range rows {
		rows[b] = int32(T)
		for t := 0; mask != nil && t < T; t++ {
			real := mask[b*T+t] != 0
			if !real {
				rows[b]--
			}
			if !real && (t == T-1 || t > 0 && mask[b*T+t-1] != 0) {
				return nil, fmt.Errorf("row %d of sequence %d is padding, want padding on the left only", t, b)
			}
		}
	}
	return rows, nil
}

func (s *nativeStepper) Step(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	defer book(s.stepped, time.Now())
	c.Check("native decoder", s.e.weights.check())
	h := make([]float32, c.Shape(x)[0]*s.out)
	c.Check("native decoder", s.stack.Step(s.enter(c, s.floats(c, x)), h))
	return c.FromFloats(h, int64(len(h))/s.out, s.out)
}

// enter maps rows to the width of the stack, where it is not theirs.
func (s *nativeStepper) enter(c *nn.Context, rows []float32) []float32 {
	if s.stack != s.e.predictor || s.e.m.Predictor.Adapter == nil {
		return rows
	}
	out := make([]float32, int64(len(rows))/s.width*s.out)
	c.Check("native decoder", s.e.pool.Apply(s.e.adapter, rows, out))
	return out
}

func (s *nativeStepper) Keep(c *nn.Context, sequences []int64) {
	ids := make([]int32, len(sequences))
	for i, b := range sequences {
		ids[i] = int32(b)
	}
	c.Check("native decoder", s.stack.Keep(ids))
}

func (s *nativeStepper) Close() { s.stack.Forget() }

// logits of code 0 [N,Vc] from states [N,H].
func (s *nativeStepper) logits(c *nn.Context, hidden *ts.Tensor) *ts.Tensor {
	c.Check("native decoder", s.e.weights.check())
	defer book(&s.e.spent.Logits, time.Now())
	n, V := c.Shape(hidden)[0], s.e.m.Config.Talker.Vocab
	out := make([]float32, n*V)
	c.Check("native decoder", s.e.pool.Apply(s.e.head, s.floats(c, hidden), out))
	return c.FromFloats(out, n, V)
}

// nativePredictor also decodes a whole frame in one call.
type nativePredictor struct{ nativeStepper }

// frame is DecodeFrame, with draws from the streams of the utterances.
func (s *nativePredictor) frame(c *nn.Context, hidden *ts.Tensor, code0 []int64, live []*voiceover, how Sampling) ([][]int64, *ts.Tensor, error) {
	c.Check("native decoder", s.e.weights.check())
	defer book(&s.e.spent.Frames, time.Now())
	n, steps := len(code0), s.e.m.Config.Groups()-1
	first, flat := make([]int32, n), make([]int32, n*steps)
	for i, k := range code0 {
		first[i] = int32(k)
	}
	var draws []float64
	for range steps {
		for _, v := range live {
			if how.SubDoSample {
				draws = append(draws, v.draws.Float64())
			}
		}
	}
	total := make([]float32, int64(n)*s.width)
	sub := native.Sampling{Sample: how.SubDoSample, Temperature: how.SubTemperature, TopK: how.SubTopK, TopP: how.SubTopP}
	err := s.e.frames.Frame(sub, s.floats(c, hidden), first, draws, flat, total)
	var bad *native.BadLogit
	if errors.As(err, &bad) {
		v := live[bad.Sequence]
		return nil, nil, fmt.Errorf("talker: %q frame %d: logit %d of code %d is NaN or infinite, want a finite number",
			v.speech.ID, len(v.speech.Codes), bad.Place, bad.Step+1)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("talker: %w", err)
	}
	codes := make([][]int64, steps)
	for j := range codes {
		for _, k := range flat[j*n : (j+1)*n] {
			codes[j] = append(codes[j], int64(k))
		}
	}
	return codes, c.FromFloats(total, int64(n), s.width), nil
}
