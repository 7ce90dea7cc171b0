package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// matrix is a quantized matrix [n, k] of a checkpoint in any format: a linear layer's weight, or an embedding table. Its
// numbers are read when they are written. Words are the codes as package quant packs them: along the rows, 8 codes of 4
// bits or 4 of 8 in an int32, with qmin subtracted.
type matrix struct {
	path       string
	n, k       int64
	scheme     quant.WeightScheme
	activation quant.ActivationScheme
	table      bool // of an embedding
	words      func() ([]int32, error)
	params     func() (quant.QParams, error)
}

func (m *matrix) String() string { return fmt.Sprintf("%s (%v)", m.path, m.scheme) }

// group is the number of columns that share a scale.
func (m *matrix) group() int64 {
	if m.scheme.Granularity == quant.PerGroup {
		return m.scheme.GroupSize
	}
	return m.k
}

// zeros are the zero points as unsigned numbers: 2^(bits-1) for symmetric schemes.
func (m *matrix) zeros(p quant.QParams) []int32 {
	if p.ZeroPoint != nil {
		return p.ZeroPoint
	}
	return slices.Repeat([]int32{-m.scheme.QMin()}, len(p.Scale))
}

// spread gives every row scales of its own where the tensor has one in all: formats have no other place for it.
func (m *matrix) spread(p quant.QParams) quant.QParams {
	if m.scheme.Granularity != quant.PerTensor {
		return p
	}
	out := quant.QParams{Rows: m.n, Groups: 1, Scale: slices.Repeat(p.Scale, int(m.n))}
	if p.ZeroPoint != nil {
		out.ZeroPoint = slices.Repeat(p.ZeroPoint, int(m.n))
	}
	return out
}

// checkedWords are the words of m, as many as it has.
func (m *matrix) checkedWords() ([]int32, error) {
	words, err := m.words()
	if err != nil {
		return nil, err
	}
	if want := m.n * ((m.k + m.scheme.PerWord() - 1) / m.scheme.PerWord()); int64(len(words)) != want {
		return nil, fmt.Errorf("%v: %d words of codes, want %d", m, len(words), want)
	}
	return words, nil
}

// dense is the dequantized matrix, [n, k] row by row.
func (m *matrix) dense() ([]float32, error) {
	words, err := m.words()
	if err != nil {
		return nil, err
	}
	p, err := m.params()
	if err != nil {
		return nil, err
	}
	packed := quant.Packed{Scheme: m.scheme, N: m.n, K: m.k, Words: words, Params: p}
	codes, err := packed.Codes()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", m, err)
	}
	out := make([]float32, len(codes))
	width := int64(len(codes)) / int64(len(p.Scale)) // the codes that share parameters are consecutive
	for i, q := range codes {
		j := int64(i) / width
		z := int32(0)
		if p.ZeroPoint != nil {
			z = p.ZeroPoint[j]
		}
		out[i] = float32(int32(q)-z) * p.Scale[j]
	}
	return out, nil
}

// model is a checkpoint whose format has been understood.
type model struct {
	dir      string
	config   map[string]json.RawMessage // config.json without quantization_config
	matrices []*matrix                  // in the order of their paths
	ignore   []string                   // what stays float: paths, or "re:" regular expressions
	rest     []ckpt.Tensor              // everything else, by name
	closers  []func() error
}

// Close closes the files that the model is read from.
func (m *model) Close() error {
	var errs []error
	for _, c := range m.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// find is the matrix at a path, nil if there is none.
func (m *model) find(path string) *matrix {
	for _, x := range m.matrices {
		if x.path == path {
			return x
		}
	}
	return nil
}

// restTensor is a tensor of the rest, nil if there is none of the name.
func (m *model) restTensor(name string) *ckpt.Tensor {
	for i := range m.rest {
		if m.rest[i].Name == name {
			return &m.rest[i]
		}
	}
	return nil
}

// packedConfig is the quantization_config of the model as a packed checkpoint.
func (m *model) packedConfig() *qat.PackedConfig {
	var layers, tables []qat.LayerPlan
	for _, x := range m.matrices {
		p := qat.LayerPlan{Path: x.path, Out: x.n, In: x.k, Weight: x.scheme, Activation: x.activation}
		if x.table {
			tables = append(tables, p)
		} else {
			layers = append(layers, p)
		}
	}
	return qat.NewPackedConfig(layers, tables, m.ignore)
}

// readConfig reads dir/config.json, the key quantization_config (nil without one) apart from the others.
func readConfig(dir string) (config map[string]json.RawMessage, quantization json.RawMessage, err error) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(data, &config); err != nil || config == nil {
		return nil, nil, fmt.Errorf("%s: no JSON object: %w", path, err)
	}
	quantization = config["quantization_config"]
	delete(config, "quantization_config")
	if string(quantization) == "null" {
		quantization = nil
	}
	return config, quantization, nil
}

// configWith is the text of a config.json with a quantization_config, none for nil.
func (m *model) configWith(quantization any) ([]byte, error) {
	keys := map[string]any{}
	for k, v := range m.config {
		keys[k] = v
	}
	if quantization != nil {
		keys["quantization_config"] = quantization
	}
	return indented(keys)
}

// indented is v as JSON for files that people read too: keys in order, "<" as it is.
func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// carried tells whether a file of a checkpoint's top folder comes along as it is: not weights, nor what each format writes
// anew.
func carried(name string) bool {
	for _, suffix := range []string{
		".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".gguf", ".int4",
	} {
		if strings.HasSuffix(name, suffix) {
			return false
		}
	}
	return name != "config.json" && name != quantizeConfigFile
}
