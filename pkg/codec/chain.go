package codec

import (
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// layer is a causal step: what it gives for a moment depends on that moment and on what came before. With a history, x
// goes on where the last x ended.
type layer interface {
	nn.Module
	forward(c *nn.Context, x *ts.Tensor, h *history) *ts.Tensor
}

// link is a layer and the path under which a context's watcher sees its output; "" shows nothing.
type link struct {
	path string
	layer
}

// chain is layers that feed each other.
type chain []link

// Visit shows the layers.
func (ch chain) Visit(v nn.Visitor) {
	for _, l := range ch {
		l.layer.Visit(v)
	}
}

// forward runs x through all layers. Temporaries end with their layer, and an output when the next one is there.
func (ch chain) forward(c *nn.Context, x *ts.Tensor, h *history) *ts.Tensor {
	own := false // x belongs to c because of this call
	for _, l := range ch {
		var y *ts.Tensor
		c.Nest(func(in *nn.Context) { y = in.Promote(l.layer.forward(in, x, h)) })
		if y != x {
			if own {
				c.Release(x).Drop()
			}
			x, own = y, true
		}
		watch(c, l.path, x)
	}
	return x
}

func watch(c *nn.Context, path string, y *ts.Tensor) {
	if c.Output != nil && path != "" {
		c.Output(path, y)
	}
}
