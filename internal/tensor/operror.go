package tensor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch/ts"
)

// OpError is a failed tensor operation.
type OpError struct {
	Op     string
	Shapes [][]int64 // of the tensor arguments
	Err    error
}

func (e *OpError) Error() string {
	if len(e.Shapes) == 0 {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	shapes := make([]string, len(e.Shapes))
	for i, s := range e.Shapes {
		shapes[i] = fmt.Sprint(s)
	}
	return fmt.Sprintf("%s(%s): %v", e.Op, strings.Join(shapes, ", "), e.Err)
}

func (e *OpError) Unwrap() error { return e.Err }

func shapes(args []*ts.Tensor) [][]int64 {
	var out [][]int64
	for _, a := range args {
		if usable(a) != nil {
			continue
		}
		if size, err := shim.Sizes(a); err == nil {
			out = append(out, size)
		}
	}
	return out
}

// clean cuts gotch's decoration off libtorch's message: the name of the Go function before it, the C++ backtrace and
// the Go stack behind it. Other errors stay as they are.
func clean(err error) error {
	const mark = "Libtorch API Error: "
	text := err.Error()
	if _, message, ok := strings.Cut(text, mark); ok {
		line, _, _ := strings.Cut(message, "\n")
		return errors.New(line)
	}
	if strings.HasSuffix(text, "\n") {
		return errors.New(strings.TrimSpace(text))
	}
	return err
}
