package calib

import (
	"fmt"
	"maps"
	"slices"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/quant"
)

// Codes and folds in a calibration file.

func codesShape(sch Scheme) []int64 {
	per := sch.Weight.PerWord()
	return []int64{sch.Out, (sch.In + per - 1) / per}
}

// packedCodes is the tensor of a layer's codes.
func packedCodes(layer string, sch Scheme, codes []byte) (ckpt.Tensor, error) {
	q := make([]int16, len(codes))
	for i, u := range codes {
		q[i] = int16(int32(u) + sch.Weight.QMin())
	}
	words, err := quant.PackCodes(q, sch.Out, sch.In, sch.Weight)
	return ckpt.Tensor{Name: layer + codesSuffix, DType: "I32", Shape: codesShape(sch), Data: bytesOf(words)}, err
}

// extras are the tensors of codes and folds that the metadata promise.
func (m fileMeta) extras() (out []ckpt.Info, err error) {
	for _, layer := range m.Coded {
		sch, ok := m.Schemes[layer]
		if !ok {
			return nil, fmt.Errorf("codes of %q, which has no scheme", layer)
		}
		out = append(out, ckpt.Info{Name: layer + codesSuffix, DType: "I32", Shape: codesShape(sch)})
	}
	for _, fold := range slices.Sorted(maps.Keys(m.Folds)) {
		out = append(out, ckpt.Info{Name: fold + foldSuffix, DType: "F32", Shape: []int64{int64(m.Folds[fold])}})
	}
	return out, nil
}

func (r *Result) readExtras(src *ckpt.Reader, m fileMeta) error {
	for _, layer := range m.Coded {
		_, data, err := src.Bytes(layer + codesSuffix)
		if err != nil {
			return err
		}
		sch := r.Schemes[layer]
		q, err := quant.UnpackCodes(numbersOf[int32](data), sch.Out, sch.In, sch.Weight)
		if err != nil {
			return fmt.Errorf("%s: %w", layer, err)
		}
		codes := make([]byte, len(q))
		for i, v := range q {
			codes[i] = byte(int32(v) - sch.Weight.QMin())
		}
		r.Codes[layer] = codes
	}
	for fold := range m.Folds {
		_, data, err := src.Bytes(fold + foldSuffix)
		if err != nil {
			return err
		}
		r.Folds[fold] = numbersOf[float32](data)
		for k, s := range r.Folds[fold] {
			if !(s > 0) || s-s != 0 {
				return fmt.Errorf("%s: scale of channel %d is %v, want a positive number", fold, k, s)
			}
		}
	}
	return nil
}
