package qat

import (
	"fmt"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
)

// Native describes the table for native decoders, which look its rows up where they lie. The caller closes the
// description, and uses it only while the table lives.
func (e *PackedEmbedding) Native(string) (*native.Matrix, error) {
	if e.Words.T == nil || e.Scale.T == nil {
		return nil, fmt.Errorf("qat: %s has no value yet", e.plan.Path)
	}
	scale, err := tensor.Floats(e.Scale.T)
	if err != nil {
		return nil, fmt.Errorf("qat: %s: %w", e.plan.Path, err)
	}
	if ok, err := e.Words.T.IsContiguous(); err != nil || !ok {
		return nil, fmt.Errorf("qat: %s: its words do not lie row after row (%v)", e.plan.Path, err)
	}
	at, err := e.Words.T.DataPtr()
	if err != nil {
		return nil, fmt.Errorf("qat: %s: %w", e.plan.Path, err)
	}
	return native.NewTable(e.plan.Weight.Bits, int(e.plan.Out), int(e.plan.In), at, scale)
}
