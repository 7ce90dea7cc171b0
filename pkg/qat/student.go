package qat

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
)

// studentFile marks a folder as a fake-quantized student and says how each layer is quantized.
const studentFile = "qat.json"

const studentFormat = 1

type student struct {
	Format int            `json:"format"`
	Layers []studentLayer `json:"layers"`
	Tables []studentLayer `json:"tables,omitempty"` // embeddings
	Turned []Rotation     `json:"rotations,omitempty"`
}

type studentLayer struct {
	Path        string                 `json:"path"`
	Weight      quant.WeightScheme     `json:"weight"`
	Activation  quant.ActivationScheme `json:"activation"`
	LearnScales bool                   `json:"learn_scales"`
	LSQGradient bool                   `json:"lsq_gradient"`
	// How it trains, where that is not the plain way; see Config.
	DualLSQ        bool `json:"dual_lsq,omitempty"`
	IntegerForward bool `json:"integer_forward,omitempty"`
	BF16Backward   bool `json:"bf16_backward,omitempty"`
	// Uncalibrated: activations are static and there is no input_scale tensor yet.
	Uncalibrated bool `json:"uncalibrated,omitempty"`
	// Masters is the dtype of the weight, "" for F32.
	Masters string `json:"masters,omitempty"`
}

func (l studentLayer) mode() mode {
	return mode{l.LearnScales, l.LSQGradient, l.DualLSQ, quant.Products{Integer: l.IntegerForward, BF16Backward: l.BF16Backward}}
}

func newStudentLayer(l *Linear) studentLayer {
	p := l.mode.products
	layer := studentLayer{
		Path: l.plan.Path, Weight: l.plan.Weight, Activation: l.plan.Activation, LearnScales: l.mode.learn, LSQGradient: l.mode.lsq,
		DualLSQ: l.mode.dual, IntegerForward: p.Integer, BF16Backward: p.BF16Backward, Uncalibrated: l.uncalibrated,
	}
	if l.W.DType != "F32" {
		layer.Masters = l.W.DType
	}
	return layer
}

func newStudentTable(e *Embedding) studentLayer {
	t := studentLayer{Path: e.plan.Path, Weight: e.plan.Weight, LearnScales: e.mode.learn, LSQGradient: e.mode.lsq}
	if e.W.DType != "F32" {
		t.Masters = e.W.DType
	}
	return t
}

// masters gives the master of a stored layer the dtype that it has in the file.
func (l studentLayer) masters(w *nn.Param) error {
	switch l.Masters {
	case "", "F32":
	case "BF16":
		w.DType = l.Masters
	default:
		return fmt.Errorf("masters of %s are %q, want F32 or BF16", l.Path, l.Masters)
	}
	return nil
}

// SaveStudent writes a prepared model as a folder from which training can go on (see the package comment), with the
// small files of the source beside it: settings and text tokenizer. An existing folder is replaced.
func SaveStudent(dir string, m nn.Module, opt SaveOptions) error {
	src, err := openSource(opt.Source)
	if err != nil {
		return err
	}
	defer src.Close()
	st := student{Format: studentFormat, Turned: Rotations(m)}
	for _, s := range nn.Slots(m) {
		if l, ok := s.P.(*Linear); ok {
			st.Layers = append(st.Layers, newStudentLayer(l))
		}
	}
	for _, e := range nn.Embeddings(m) {
		if t, ok := e.T.(*Embedding); ok {
			st.Tables = append(st.Tables, newStudentTable(t))
		}
	}
	if len(st.Layers)+len(st.Tables) == 0 {
		return errors.New("qat: save: nothing is fake-quantized; prepare the model first")
	}
	tensors, err := studentTensors(m, src)
	if err != nil {
		return err
	}
	scheme, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	err = fsx.ReplaceDir(dir, func(tmp string) error {
		if _, err := carryFiles(tmp, opt.Source, false); err != nil {
			return err
		}
		if err := fsx.CopyFile(filepath.Join(tmp, "config.json"), filepath.Join(opt.Source, "config.json")); err != nil {
			return err
		}
		if err := ckpt.Write(filepath.Join(tmp, "model.safetensors"), tensors, fileMetadata); err != nil {
			return err
		}
		return fsx.WriteBytes(filepath.Join(tmp, studentFile), append(scheme, '\n'))
	})
	if err != nil {
		return fmt.Errorf("qat: save %s: %w", dir, err)
	}
	return nil
}

// studentTensors are m's parameters: masters in float32, the others in the source's dtype where that is exact.
func studentTensors(m nn.Module, src *source) ([]ckpt.Tensor, error) {
	var out []ckpt.Tensor
	for _, p := range nn.Params(m) {
		if p.T == nil {
			return nil, fmt.Errorf("qat: parameter %q has no value", p.Name)
		}
		dtype := nn.DTypeName(p.T.DType())
		if to := src.dtype(p.Name); to != "" && p.DType == "" {
			lost, err := narrowed(p.T, to)
			if err != nil {
				return nil, fmt.Errorf("qat: parameter %q: %w", p.Name, err)
			}
			if lost == nil {
				dtype = to
			} else {
				lost.Drop()
			}
		}
		t, err := nn.Stored(p, dtype)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// readStudent is the scheme file of dir, nil when there is none.
func readStudent(dir string) (*student, error) {
	path := filepath.Join(dir, studentFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	var st student
	if err := json.Unmarshal(data, &st); err != nil {
		return nil, fmt.Errorf("qat: %s: %w", path, err)
	}
	if st.Format != studentFormat {
		return nil, fmt.Errorf("qat: %s: format %d, want %d", path, st.Format, studentFormat)
	}
	return &st, nil
}
