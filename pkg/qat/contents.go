package qat

import (
	"fmt"
	"slices"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
)

// fileMetadata is that of the files that are written.
var fileMetadata = map[string]string{"format": "pt"}

// Stored are the tensors, without their data, that a layer, or an embedding table, becomes in a packed checkpoint, its bias
// not among them.
func (p LayerPlan) Stored(table bool) ([]ckpt.Tensor, error) {
	if table {
		e, err := newPackedEmbedding(p)
		if err != nil {
			return nil, err
		}
		return described(e.stored()), nil
	}
	l, err := newPacked(p, nil)
	if err != nil {
		return nil, err
	}
	return described(l.stored()), nil
}

func described(params []*nn.Param) (list []ckpt.Tensor) {
	for _, p := range params {
		list = append(list, ckpt.Tensor{Name: p.Name, DType: p.DType, Shape: p.Shape})
	}
	return list
}

// Contents are the tensors, without their data, of the model.safetensors that SaveCheckpoint writes of a float model m once
// plan has been carried out: packed layers and tables, everything that stays float in the source's dtypes, and what is carried
// over. FileSize says how large that file is.
func Contents(m nn.Module, plan *Plan, source string) ([]ckpt.Tensor, error) {
	src, err := openSource(source)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	var list []ckpt.Tensor
	quantized := map[string]bool{}
	for i, l := range slices.Concat(plan.Layers, plan.Tables) {
		tensors, err := l.Stored(i >= len(plan.Layers))
		if err != nil {
			return nil, err
		}
		list = append(list, tensors...)
		quantized[l.Path+".weight"] = true
	}
	for _, p := range nn.Params(m) {
		if quantized[p.Name] {
			continue
		}
		dtype := savedDType(p, src.dtype(p.Name))
		if dtype == "" {
			return nil, fmt.Errorf("qat: parameter %q is neither in %s nor loaded", p.Name, source)
		}
		list = append(list, ckpt.Tensor{Name: p.Name, DType: dtype, Shape: p.Shape})
	}
	carried, err := src.unknownTo(m)
	if err != nil {
		return nil, err
	}
	for _, t := range carried {
		list = append(list, ckpt.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape})
	}
	return list, nil
}

// FileSize is the size in bytes of the model.safetensors that holds the tensors.
func FileSize(tensors []ckpt.Tensor) (int64, error) { return ckpt.FileSize(tensors, fileMetadata) }
