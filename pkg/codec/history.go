package codec

import (
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// history is what causal layers keep of their inputs between two pieces of one signal, in one owned tensor for each use.
// A nil history is that of a signal that comes whole.
type history struct {
	past     map[pastKey]*ts.Tensor
	position int64 // rows of the transformer that came before
}

// pastKey is a layer and which of its inputs.
type pastKey struct {
	layer any
	use   string
}

func newHistory() *history { return &history{past: make(map[pastKey]*ts.Tensor)} }

// join puts the kept entries before x along dim and keeps the last n of both. Each result of join has at most n entries
// more than x.
func (h *history) join(c *nn.Context, key pastKey, x *ts.Tensor, dim, n int64) *ts.Tensor {
	if h == nil || n == 0 {
		return x
	}
	y := x
	if past := h.past[key]; past != nil {
		y = c.Cat(dim, past, x)
		past.Drop()
		delete(h.past, key) // until the new one is there
	}
	T := c.Shape(y)[dim]
	keep := min(n, T)
	h.past[key] = c.Release(c.Contiguous(c.Clone(c.Narrow(y, dim, T-keep, keep)))) // a view would keep all of y
	return y
}

// rows that came before.
func (h *history) rows() int64 {
	if h == nil {
		return 0
	}
	return h.position
}

// close frees what is kept.
func (h *history) close() {
	for key, t := range h.past {
		t.Drop()
		delete(h.past, key)
	}
}
