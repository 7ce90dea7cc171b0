package export

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/quant"
)

type ckptTensor = ckpt.Tensor

// folderFormat is a format of whole checkpoint folders: config.json with a quantization_config, and safetensors in which
// each quantized matrix has tensors of its own.
type folderFormat struct {
	name   string
	refuse func(m *matrix, p quant.QParams) string                        // why a matrix cannot be carried, "" if it can
	mixed  func(m *model) map[*matrix]string                              // the same of matrices beside each other; may be nil
	tensor func(m *matrix) ([]ckpt.Tensor, error)                         // the tensors of a matrix
	config func(m *model) (any, error)                                    // quantization_config
	meta   func(m *model) (func([]ckpt.Tensor) map[string]string, error)  // of the safetensors files; nil: {"format": "pt"}
	files  func(config any) (map[string]any, error)                       // JSON files besides config.json; may be nil
	read   func(dir string, quantization json.RawMessage) (*model, error) // undoes all of them
	// tables and activations tell what the format has a place for besides weights of linear layers.
	tables, activations bool
}

const weightsAlone = "the format holds weights alone, and the layer's input is quantized too (%v; -weights-only leaves it float)"

func (f *folderFormat) refusals(m *model, params func(*matrix) (quant.QParams, error)) (map[*matrix]string, error) {
	out := map[*matrix]string{}
	if f.mixed != nil {
		out = f.mixed(m)
	}
	for _, x := range m.matrices {
		p, err := params(x)
		if err != nil {
			return nil, err
		}
		switch {
		case x.table && !f.tables: // it stays float
		case x.activation.Mode != quant.ActivationNone && !f.activations:
			out[x] = fmt.Sprintf(weightsAlone, x.activation)
		default:
			if why := f.refuse(x, p); why != "" {
				out[x] = why
			}
		}
	}
	if f.activations {
		return out, nil
	}
	for _, t := range m.rest { // what belongs to a matrix and no other program knows
		at := strings.LastIndex(t.Name, ".")
		if x := m.find(t.Name[:max(at, 0)]); x != nil && out[x] == "" && !slices.Contains([]string{".bias", ".input_scale", ".kept_ids"}, t.Name[at:]) {
			out[x] = fmt.Sprintf("the format has no place for its tensor %q", t.Name[at+1:])
		}
	}
	return out, nil
}

func (f *folderFormat) write(m *model, dir string, o Options, r *Result) error {
	if !f.tables {
		m.floatTables(r)
	}
	for _, t := range m.rest {
		if path, ok := strings.CutSuffix(t.Name, ".kept_ids"); ok && !f.activations {
			r.note("%s is pruned: row i is that of the i-th id in %s, which loaders of other programs do not know", path, t.Name)
		}
	}
	list := slices.Clone(m.rest)
	for _, x := range m.matrices {
		t, err := f.tensor(x)
		if err != nil {
			return err
		}
		list = append(list, t...)
	}
	slices.SortFunc(list, func(a, b ckpt.Tensor) int { return strings.Compare(a.Name, b.Name) })
	meta := func([]ckpt.Tensor) map[string]string { return map[string]string{"format": "pt"} }
	if f.meta != nil {
		var err error
		if meta, err = f.meta(m); err != nil {
			return err
		}
	}
	if err := ckpt.WriteShards(dir, list, o.ShardBytes, meta); err != nil {
		return err
	}
	quantization, err := f.config(m)
	if err != nil {
		return err
	}
	files := map[string]any{}
	if f.files != nil {
		if files, err = f.files(quantization); err != nil {
			return err
		}
	}
	for name, v := range files {
		text, err := indented(v)
		if err != nil {
			return err
		}
		if err := fsx.WriteBytes(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	text, err := m.configWith(quantization)
	if err != nil {
		return err
	}
	return fsx.WriteBytes(filepath.Join(dir, "config.json"), text) // last: a folder with it is complete
}

// floatTables makes quantized embedding tables float tensors of the same values.
func (m *model) floatTables(r *Result) {
	for _, x := range m.matrices {
		if !x.table {
			continue
		}
		dtype := "F32"
		if x.scheme.Bits == 4 && x.scheme.Symmetric { // 3 bits of a code times 8 of a scale
			dtype = "F16"
		}
		m.rest = append(m.rest, floatTensor(x.path+".weight", dtype, x.dense, x.n, x.k))
		r.note("embedding %s stays float, as %s, which holds its values exactly: the format has linear layers only", x.path, dtype)
	}
	m.matrices = slices.DeleteFunc(m.matrices, func(x *matrix) bool { return x.table })
}

// readModel reads a folder by what its config.json, or the files in it, say that it is. A model beside an error is one to
// close.
func readModel(dir string, quantization json.RawMessage) (*model, string, error) {
	if quantization == nil {
		if files, _ := filepath.Glob(filepath.Join(dir, "*.gguf")); len(files) > 0 {
			m, err := readGGUF(dir)
			return m, "gguf", err
		}
		return nil, "", kindOf(dir)
	}
	var q struct {
		Method     string `json:"quant_method"`
		Checkpoint string `json:"checkpoint_format"`
	}
	if err := json.Unmarshal(quantization, &q); err != nil {
		return nil, "", fmt.Errorf("config.json: quantization_config: %w", err)
	}
	name := q.Method
	if name == "gptq" && q.Checkpoint == "gptq_v2" {
		name = "gptq-v2"
	}
	f, ok := formats[name].(*folderFormat)
	if !ok {
		return nil, "", fmt.Errorf("config.json: quantization_config: quant_method %q, want compressed-tensors, gptq, awq or torchao", q.Method)
	}
	m, err := f.read(dir, quantization)
	return m, name, err
}

// readFolder opens the safetensors of dir. find describes the matrix that a tensor is the first part of, nil for other
// tensors, and the suffixes of the tensors that it takes.
func readFolder(dir string, find func(src *ckpt.Reader, info ckpt.Info) (*matrix, error), suffixes ...string) (*model, error) {
	src, err := ckpt.Open(dir)
	if err != nil {
		return nil, err
	}
	m := &model{closers: []func() error{src.Close}}
	owned := map[string]bool{}
	for _, info := range src.Infos() {
		x, err := find(src, info)
		if err != nil {
			return m, err
		}
		if x == nil {
			continue
		}
		for _, s := range suffixes {
			owned[x.path+s] = true
		}
		m.matrices = append(m.matrices, x)
	}
	for _, info := range src.Infos() {
		if !owned[info.Name] {
			m.rest = append(m.rest, copied(src, info))
		}
	}
	return m, nil
}

// columnGroups is the scheme of a matrix [n, k] with g scales a row, in a file that says group_size for it; -1 is one scale
// for a row.
func columnGroups(path string, bits int, symmetric bool, k, g, size int64) (quant.WeightScheme, error) {
	s := quant.WeightScheme{Bits: bits, Symmetric: symmetric, Granularity: quant.PerGroup, GroupSize: size}
	if size == -1 {
		s.Granularity, s.GroupSize, size = quant.PerChannel, 0, k
	}
	if size < 1 || k%size != 0 || k/size != g {
		return s, fmt.Errorf("%s: %d groups of a row of %d, want groups of %d", path, g, k, size)
	}
	return s, nil
}

// dims2 are the sizes of a tensor with two dimensions of a dtype.
func dims2(src *ckpt.Reader, name, dtype string) (a, b int64, err error) {
	info, ok := src.Info(name)
	if !ok {
		return 0, 0, fmt.Errorf("%s: no tensor %q", src.Header().Path, name)
	}
	if info.DType != dtype || len(info.Shape) != 2 || info.Elements() < 1 {
		return 0, 0, fmt.Errorf("%s: tensor %v, want %s of two dimensions", src.Header().Path, info, dtype)
	}
	return info.Shape[0], info.Shape[1], nil
}

// keptNames is what stays float, as formats want it that compare the beginnings of names: "re:part\..*" is part.
func keptNames(m *model) []string {
	names := []string{}
	for _, entry := range m.ignore {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(entry, "re:"), `\..*`))
	}
	return names
}

// keptParts undoes keptNames: a layer has a weight under its name, a part of the model has not.
func keptParts(m *model, names []string) (ignore []string) {
	for _, name := range names {
		if m.restTensor(name+".weight") == nil {
			name = "re:" + name + `\..*`
		}
		ignore = append(ignore, name)
	}
	return ignore
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
