package qat

import (
	"fmt"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
)

// Kind tells the form of a checkpoint folder from its settings: "float", "student" (fake-quantized) or "packed".
func Kind(dir string) (string, error) {
	st, err := readStudent(dir)
	if err != nil {
		return "", err
	}
	q, err := readQuantizationConfig(dir)
	switch {
	case err != nil:
		return "", err
	case st != nil:
		return "student", nil
	case q != nil:
		return "packed", nil
	}
	return "float", nil
}

// Folder is what Describe finds.
type Folder struct {
	Kind   string      `json:"kind"`   // "float", "student" (fake-quantized) or "packed"
	Layers []LayerPlan `json:"layers"` // the quantized ones, in the order of their names (packed) or of the tree (student)
	Tables []LayerPlan `json:"tables"` // embeddings likewise

	Rotations []Rotation `json:"rotations,omitempty"` // what is computed beside the layers
}

// Describe says how the layers of a checkpoint folder are quantized, from its headers and settings alone: weights are
// not read.
func Describe(dir string) (*Folder, error) {
	st, err := readStudent(dir)
	if err != nil {
		return nil, err
	}
	q, err := readQuantizationConfig(dir)
	if err != nil {
		return nil, err
	}
	if st == nil && q == nil {
		return &Folder{Kind: "float"}, nil
	}
	src, err := ckpt.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	defer src.Close()
	if st != nil {
		return describeStudent(st, src)
	}
	f := &Folder{Kind: "packed", Rotations: q.Turned.list()}
	for _, info := range src.Infos() {
		if !strings.HasSuffix(info.Name, ".weight_shape") {
			continue
		}
		if t, err := storedTable(src, info, q); t != nil || err != nil {
			if err != nil {
				return nil, fmt.Errorf("qat: %s: %w", dir, err)
			}
			f.Tables = append(f.Tables, t.plan)
			continue
		}
		s, err := storedSlot(src, info, q)
		if err != nil {
			return nil, fmt.Errorf("qat: %s: %w", dir, err)
		}
		f.Layers = append(f.Layers, s.P.(*Packed).plan)
	}
	return f, nil
}

// storedTable declares the embedding that a weight_shape stands for, nil for that of a layer.
func storedTable(src *ckpt.Reader, info ckpt.Info, q *quantizationConfig) (*PackedEmbedding, error) {
	path := strings.TrimSuffix(info.Name, ".weight_shape")
	g := q.findTable(path)
	if g == nil || !namesTable(path, g) {
		return nil, nil
	}
	shape, err := storedShape(src, path)
	if err != nil {
		return nil, err
	}
	return packedTableAt(nn.NewEmbedding(path, shape[0], shape[1]), g, src)
}

func describeStudent(st *student, src *ckpt.Reader) (*Folder, error) {
	f := &Folder{Kind: "student", Rotations: st.Turned}
	var err error
	if f.Layers, err = describeStored(st.Layers, src); err != nil {
		return nil, err
	}
	f.Tables, err = describeStored(st.Tables, src)
	return f, err
}

func describeStored(layers []studentLayer, src *ckpt.Reader) (plans []LayerPlan, err error) {
	for _, l := range layers {
		info, ok := src.Info(l.Path + ".weight")
		if !ok || len(info.Shape) != 2 {
			return nil, fmt.Errorf("qat: %s: %s names %q, whose weight is %v in the checkpoint, want [out, in]", src.Header().Path, studentFile, l.Path, info.Shape)
		}
		plan, err := exactPlan(&nn.Slot{Path: l.Path, Out: info.Shape[0], In: info.Shape[1]}, l.Weight, l.Activation)
		if err != nil {
			return nil, err
		}
		plans = append(plans, plan)
	}
	return plans, nil
}
