package qat

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
)

// FromCheckpoint swaps m's slots for what the folder dir holds, without loading: packed layers for a compressed-tensors
// checkpoint, fake-quantized ones for a student, nothing for a float checkpoint. m is as the model builds it, with float
// layers; nn.Load fills it afterwards. On an error nothing has been changed.
func FromCheckpoint(m nn.Module, dir string) error {
	st, err := readStudent(dir)
	if err != nil {
		return err
	}
	if st != nil {
		return st.swap(m, filepath.Join(dir, studentFile))
	}
	q, err := readQuantizationConfig(dir)
	if err != nil || q == nil {
		return err
	}
	src, err := ckpt.Open(dir)
	if err != nil {
		return fmt.Errorf("qat: %w", err)
	}
	defer src.Close()
	layers := map[*nn.Slot]nn.Projection{}
	var errs []error
	for _, s := range nn.Slots(m) {
		g := q.find(s.Path)
		if g == nil {
			continue
		}
		p, err := packedSlot(s, g, src)
		if err != nil {
			errs = append(errs, fmt.Errorf("qat: %s: %w", dir, err))
			continue
		}
		layers[s] = p
	}
	tables := map[*nn.Embedding]nn.Table{}
	for _, e := range nn.Embeddings(m) {
		g := q.findTable(e.Path)
		if _, packed := src.Info(e.Path + ".weight_packed"); g == nil || !packed {
			continue
		}
		t, err := packedTableAt(e, g, src)
		if err != nil {
			errs = append(errs, fmt.Errorf("qat: %s: %w", dir, err))
			continue
		}
		tables[e] = t
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := rotate(m, q.Turned.list()); err != nil {
		return fmt.Errorf("qat: %s: %w", dir, err)
	}
	for s, p := range layers {
		swap(s, p)
	}
	for e, t := range tables {
		swapTable(e, t)
	}
	return nil
}

// packedTableAt declares the packed table of an embedding, with the dtype that the file has for its scales.
func packedTableAt(e *nn.Embedding, g *configGroup, src *ckpt.Reader) (*PackedEmbedding, error) {
	w, a, err := g.schemes()
	if err != nil {
		return nil, err
	}
	plan, err := exactTable(e, w, a)
	if err != nil {
		return nil, err
	}
	t, err := newPackedEmbedding(plan)
	if err != nil {
		return nil, err
	}
	if err := storedScale(t.Scale, src); err != nil {
		return nil, err
	}
	if _, ok := src.Info(t.Shape.Name); !ok {
		return t, nil
	}
	shape, err := storedShape(src, e.Path)
	if err == nil && (shape[0] != plan.Out || shape[1] != plan.In) {
		err = fmt.Errorf("tensor %q is %v, want %v", t.Shape.Name, shape, e.W.Shape)
	}
	return t, err
}

// storedScale gives a scale the float dtype that it has in the file.
func storedScale(p *nn.Param, src *ckpt.Reader) error {
	info, ok := src.Info(p.Name)
	if !ok {
		return nil // nn.Load lists everything that is missing
	}
	if info.DType != "BF16" && info.DType != "F16" && info.DType != "F32" {
		return fmt.Errorf("tensor %q has dtype %s, want BF16, F16 or F32", p.Name, info.DType)
	}
	p.DType = info.DType
	return nil
}

// readQuantizationConfig is that of dir's config.json, nil when it has none.
func readQuantizationConfig(dir string) (*quantizationConfig, error) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	keys, err := readConfig(data)
	if err != nil {
		return nil, fmt.Errorf("qat: %s: %w", path, err)
	}
	raw := keys["quantization_config"]
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	var q quantizationConfig
	if err := json.Unmarshal(raw, &q); err != nil {
		return nil, fmt.Errorf("qat: %s: quantization_config: %w", path, err)
	}
	if err := q.check(); err != nil {
		return nil, fmt.Errorf("qat: %s: quantization_config: %w", path, err)
	}
	return &q, nil
}

// packedSlot declares the packed layer of a slot, with the dtypes that the file has for its scales.
func packedSlot(s *nn.Slot, g *configGroup, src *ckpt.Reader) (*Packed, error) {
	w, a, err := g.schemes()
	if err != nil {
		return nil, err
	}
	plan, err := exactPlan(s, w, a)
	if err != nil {
		return nil, err
	}
	p, err := newPacked(plan, bias(s))
	if err != nil {
		return nil, err
	}
	for _, q := range []*nn.Param{p.Scale, p.InputScale} {
		if q == nil {
			continue
		}
		if err := storedScale(q, src); err != nil {
			return nil, err
		}
	}
	if _, ok := src.Info(p.Shape.Name); !ok {
		return p, nil
	}
	shape, err := storedShape(src, s.Path)
	if err == nil && (shape[0] != s.Out || shape[1] != s.In) {
		err = fmt.Errorf("tensor %q is %v, want %v", p.Shape.Name, shape, []int64{s.Out, s.In})
	}
	return p, err
}

// exactPlan is the plan of a layer whose scheme is settled: nothing is fitted to the width.
func exactPlan(s *nn.Slot, w quant.WeightScheme, a quant.ActivationScheme) (LayerPlan, error) {
	return planLayer(s.Path, s.Out, s.In, Config{Weight: w, Activation: a}, nil)
}

// swap puts p where a float layer was and frees that one's weight; the bias has moved to p.
func swap(s *nn.Slot, p nn.Projection) {
	if f, ok := s.P.(*nn.Linear); ok {
		f.W.Set(nil)
	}
	s.P = p
}

func bias(s *nn.Slot) *nn.Param {
	if f, ok := s.P.(*nn.Linear); ok {
		return f.B
	}
	return nil
}

// swap declares the student's layers; path names the scheme file.
func (st *student) swap(m nn.Module, path string) error {
	slots := slotsByPath(m)
	layers := map[*nn.Slot]nn.Projection{}
	var errs []error
	for _, f := range st.Layers {
		s := slots[f.Path]
		if s == nil {
			errs = append(errs, fmt.Errorf("qat: %s: the model has no projection %q", path, f.Path))
			continue
		}
		plan, err := exactPlan(s, f.Weight, f.Activation)
		if err == nil {
			err = f.Activation.Validate()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("qat: %s: %w", path, err))
			continue
		}
		l, err := newLinear(plan, f.mode(), bias(s))
		if err != nil {
			errs = append(errs, fmt.Errorf("qat: %s: %w", path, err))
			continue
		}
		l.uncalibrated = f.Uncalibrated
		if err := f.masters(l.W); err != nil {
			errs = append(errs, fmt.Errorf("qat: %s: %w", path, err))
			continue
		}
		layers[s] = l
	}
	tables, err := st.tables(m)
	if err != nil {
		errs = append(errs, fmt.Errorf("qat: %s: %w", path, err))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := rotate(m, st.Turned); err != nil {
		return fmt.Errorf("qat: %s: %w", path, err)
	}
	for s, l := range layers {
		swap(s, l)
	}
	for e, t := range tables {
		swapTable(e, t)
	}
	return nil
}

// tables declares the student's embeddings.
func (st *student) tables(m nn.Module) (map[*nn.Embedding]nn.Table, error) {
	paths, out := tablesByPath(m), map[*nn.Embedding]nn.Table{}
	for _, f := range st.Tables {
		e := paths[f.Path]
		if e == nil {
			return nil, fmt.Errorf("the model has no embedding %q", f.Path)
		}
		plan, err := exactTable(e, f.Weight, f.Activation)
		if err != nil {
			return nil, err
		}
		t, err := newEmbedding(plan, f.mode())
		if err == nil {
			err = f.masters(t.W)
		}
		if err != nil {
			return nil, err
		}
		out[e] = t
	}
	return out, nil
}

// LoadLayers reads a folder of SaveLayers: its layers in the order of their names, packed ones and float ones, the
// latter in float32. Shapes are those of the file.
func LoadLayers(dir string) (Layers, error) {
	q, err := readQuantizationConfig(dir)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, fmt.Errorf("qat: %s: config.json has no quantization_config", dir)
	}
	src, err := ckpt.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	defer src.Close()
	var layers Layers
	for _, info := range src.Infos() {
		s, err := storedSlot(src, info, q)
		if err != nil {
			return nil, fmt.Errorf("qat: %s: %w", dir, err)
		}
		if s != nil {
			layers = append(layers, s)
		}
	}
	if err := rotate(layers, q.Turned.list()); err != nil {
		return nil, fmt.Errorf("qat: %s: %w", dir, err)
	}
	if err := nn.Load(layers, src, nn.LoadOptions{DType: gotch.Float, Device: gotch.CPU}); err != nil {
		return nil, fmt.Errorf("qat: %s: %w", dir, err)
	}
	return layers, nil
}

// storedSlot declares the layer that a weight_shape or a float weight [out, in] stands for, nil for other tensors.
func storedSlot(src *ckpt.Reader, info ckpt.Info, q *quantizationConfig) (*nn.Slot, error) {
	if path, ok := strings.CutSuffix(info.Name, ".weight"); ok && len(info.Shape) == 2 {
		_, biased := src.Info(path + ".bias")
		return nn.NewSlot(path, info.Shape[1], info.Shape[0], biased), nil
	}
	path, ok := strings.CutSuffix(info.Name, ".weight_shape")
	if !ok {
		return nil, nil
	}
	shape, err := storedShape(src, path)
	if err != nil {
		return nil, err
	}
	g := q.find(path)
	if g == nil {
		return nil, fmt.Errorf("quantization_config has no group for %q", path)
	}
	_, biased := src.Info(path + ".bias")
	s := nn.NewSlot(path, shape[1], shape[0], biased)
	s.P, err = packedSlot(s, g, src)
	return s, err
}

// storedShape is the content of <path>.weight_shape: out, in.
func storedShape(src *ckpt.Reader, path string) ([]int64, error) {
	info, data, err := src.Bytes(path + ".weight_shape")
	if err != nil {
		return nil, err
	}
	if info.DType != "I64" || info.Elements() != 2 {
		return nil, fmt.Errorf("tensor %v, want I64 [2]", info)
	}
	shape := []int64{int64(binary.LittleEndian.Uint64(data)), int64(binary.LittleEndian.Uint64(data[8:]))}
	if shape[0] < 1 || shape[1] < 1 {
		return nil, fmt.Errorf("tensor %q is %v, want positive sizes", info.Name, shape)
	}
	return shape, nil
}
