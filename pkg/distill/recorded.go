package distill

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// recorded is the lesson of a cache.
type recorded struct {
	cache   *Cache
	entries []entry // utterance by utterance, as rows and frames of a batch follow each other
	device  gotch.Device
}

func (t recorded) hidden(c *nn.Context) *ts.Tensor {
	rows := int64(0)
	for _, e := range t.entries {
		rows += e.frames + 1
	}
	return t.read(c, "hidden", 0, rows)
}

func (t recorded) code0(c *nn.Context, at, n int64) answer {
	a := t.answer(c, "code0", at, n)
	a.end = t.read(c, "end", at, n)
	return a
}

func (t recorded) codes(c *nn.Context, at, n int64) answer { return t.answer(c, "codes", at, n) }

// answer is rows of what code0 or codes has. Rounding to float16 made the sum of the probabilities a little more or less
// than 1; this is undone.
func (t recorded) answer(c *nn.Context, what string, at, n int64) (a answer) {
	nn.NoGrad(func() {
		if t.cache.spec.Keep == KeepExact {
			a.logits = c.To(t.read(c, what+".logits", at, n), gotch.Float)
			return
		}
		p := top{
			ids:  c.To(t.read(c, what+".ids", at, n), gotch.Int64),
			logp: c.To(t.read(c, what+".logp", at, n), gotch.Float),
			tail: t.read(c, what+".tail", at, n),
		}
		sum := c.Log(c.Add(c.SumDim(c.Exp(p.logp), false, -1), c.Exp(p.tail)))
		p.logp, p.tail = c.Sub(p.logp, c.Unsqueeze(sum, -1)), c.Clamp(c.Sub(p.tail, sum), -never, 0)
		a.top = &p
	})
	return a
}

// read is n rows of a field of the batch, from row at on.
func (t recorded) read(c *nn.Context, name string, at, n int64) *ts.Tensor {
	f := t.cache.spec.field(name)
	dtype, err := nn.DTypeOf(f.dtype)
	c.Check("teacher cache", err)
	size := f.bytes()
	x, err := tensor.Fill(dtype, append([]int64{n}, f.shape...), func(memory []byte) error {
		begin := int64(0) // of the utterance in the batch
		for _, e := range t.entries {
			first, rows := e.row, e.frames+1
			if f.frame {
				first, rows = e.frame, e.frames
			}
			lo, hi := max(at, begin), min(at+n, begin+rows)
			if lo < hi {
				dst := memory[(lo-at)*size : (hi-at)*size]
				if err := t.cache.parts[e.part].CopyAt(dst, name, (first+lo-begin)*size); err != nil {
					return err
				}
			}
			begin += rows
		}
		return nil
	})
	c.Check("teacher cache", err)
	return c.ToDevice(c.Own(x), t.device)
}

func (s cacheSpec) field(name string) field {
	for _, f := range s.fields() {
		if f.name == name {
			return f
		}
	}
	return field{}
}
