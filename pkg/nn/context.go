package nn

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Context is one forward pass: it owns the temporaries (its embedded scope has the operations) and tells watchers what
// flows. The functions may be nil and must not keep the tensors that they are shown.
type Context struct {
	*tensor.Scope
	Input  func(path string, x *ts.Tensor) // the input of each projection, before its transform
	Output func(path string, y *ts.Tensor) // the output of each block, in the basis of the residual stream
	// Recompute makes each block of a Decoder that is recorded keep its input only: the rest is computed again in the
	// backward pass, to the bit (gradient checkpointing, Chen et al. 2016).
	Recompute bool
}

// Run calls f with a fresh context on a locked OS thread, drops its temporaries and returns a failed operation as error.
func Run(f func(c *Context) error) error {
	return tensor.Run(func(s *tensor.Scope) error { return f(&Context{Scope: s}) })
}

// Nest calls f with a context whose temporaries end with it; watchers stay. Promote hands a result out.
func (c *Context) Nest(f func(in *Context)) {
	c.Scope.Nest(func(s *tensor.Scope) {
		in := *c
		in.Scope = s
		f(&in)
	})
}

// Checkpoint calls f on ins without keeping its activations and calls it again in the backward pass; see
// tensor.Scope.Checkpoint. Watchers see the first pass only.
func (c *Context) Checkpoint(f func(in *Context, ins []*ts.Tensor) []*ts.Tensor, nout int, ins ...*ts.Tensor) []*ts.Tensor {
	seen := false
	segment := func(s *tensor.Scope, ins []*ts.Tensor) []*ts.Tensor {
		in := Context{Scope: s}
		if !seen {
			in.Input, in.Output, seen = c.Input, c.Output, true
		}
		return f(&in, ins)
	}
	return c.Scope.Checkpoint(segment, nout, ins...)
}

// NoGrad calls f without recording.
func NoGrad(f func()) { tensor.NoGrad(f) }

// as is x in dtype: x itself, which may be another scope's, where it has that already.
func (c *Context) as(x *ts.Tensor, dtype gotch.DType) *ts.Tensor {
	if x.DType() == dtype {
		return x
	}
	return c.To(x, dtype)
}

func (c *Context) sawInput(path string, x *ts.Tensor) {
	if c.Input != nil {
		c.Input(path, x)
	}
}

func (c *Context) sawOutput(path string, y *ts.Tensor) {
	if c.Output != nil {
		c.Output(path, y)
	}
}
