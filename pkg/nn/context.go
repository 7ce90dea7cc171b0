package nn

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch/ts"
)

// Context is one forward pass: it owns the temporaries (its embedded scope has the operations) and tells watchers what
// flows. The functions may be nil and must not keep the tensors that they are shown.
type Context struct {
	*tensor.Scope
	Input  func(path string, x *ts.Tensor) // the input of each projection, before its transform
	Output func(path string, y *ts.Tensor) // the output of each block
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

// NoGrad calls f without recording.
func NoGrad(f func()) { tensor.NoGrad(f) }

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
