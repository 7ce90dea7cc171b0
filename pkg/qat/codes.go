package qat

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
)

// cell is how far a moved master may lie from the value of its code, in steps: a step's half less an eighth, so that the
// first updates do not undo the code.
const cell = 0.375

// SetCodes moves the masters of prepared layers, by path, so that they quantize to given codes (less the scheme's smallest,
// [out, in]) under the parameters that the layers have: set those first. A master that has its code already stays where it
// is; another goes to the nearest place in the cell of its code that is an eighth of a step from the cell's edge, and so
// keeps what it can of the original. One error lists unknown paths and codes that do not fit; then nothing has been
// changed. Masters in bfloat16 are too coarse for codes of 8 bits: that is an error, too, of the first such layer.
func SetCodes(m nn.Module, codes map[string][]byte) error {
	layers := prepared(m)
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(codes)) {
		if l := layers[path]; l == nil {
			errs = append(errs, fmt.Errorf("qat: codes for %q, which is not a prepared projection", path))
		} else if err := l.plan.fits(codes[path]); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(codes)) {
		if err := layers[path].setCodes(codes[path]); err != nil {
			return fmt.Errorf("qat: %s: %w", path, err)
		}
	}
	return nil
}

func (p LayerPlan) fits(codes []byte) error {
	if int64(len(codes)) != p.Params {
		return fmt.Errorf("qat: %d codes for %s, want %d", len(codes), p.Path, p.Params)
	}
	if most := p.Weight.QMax() - p.Weight.QMin(); int32(slices.Max(codes)) > most {
		return fmt.Errorf("qat: a code %d for %s, want 0...%d", slices.Max(codes), p.Path, most)
	}
	return nil
}

func (l *Linear) setCodes(codes []byte) error {
	p, err := l.QParams()
	if err != nil {
		return err
	}
	if l.Pre != nil { // codes are made by this one
		if p.Scale, err = effective(l.Pre); err != nil {
			return err
		}
	}
	w, err := tensor.Floats(l.W.T)
	if err != nil {
		return err
	}
	have, err := quant.Quantize(w, l.plan.Out, l.plan.In, p, l.plan.Weight)
	if err != nil {
		return err
	}
	width, moved := len(w)/len(p.Scale), false
	for i, u := range codes {
		q := int32(u) + l.plan.Weight.QMin()
		if int32(have[i]) == q {
			continue
		}
		scale, zero := p.Scale[i/width], int32(0)
		if p.ZeroPoint != nil {
			zero = p.ZeroPoint[i/width]
		}
		middle := float32(q - zero)
		w[i] = min(max(w[i], (middle-cell)*scale), (middle+cell)*scale)
		moved = true
	}
	if !moved {
		return nil
	}
	old := l.W.T
	dtype, err := nn.DTypeOf(l.W.DType)
	if err != nil {
		return err
	}
	err = tensor.Run(func(s *tensor.Scope) error {
		device := s.Device(old)
		t := s.ToDevice(s.To(s.FromFloats(w, l.plan.Out, l.plan.In), dtype), device)
		kept, err := tensor.Floats(t)
		if err != nil {
			return err
		}
		have, err := quant.Quantize(kept, l.plan.Out, l.plan.In, p, l.plan.Weight)
		if err != nil {
			return err
		}
		for i, u := range codes {
			if q := int32(u) + l.plan.Weight.QMin(); int32(have[i]) != q {
				return fmt.Errorf("masters in %s cannot hold code %d of weight %d, want masters float32", l.W.DType, q, i)
			}
		}
		l.W.Set(s.Release(t))
		return nil
	})
	if err != nil {
		return err
	}
	return tensor.RequireGrad(l.W.T, true)
}
