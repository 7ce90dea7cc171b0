package export

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/quant"
)

// torchaoPlain is torchao's Int4Tensor in the plain packing, flattened as torchao.prototype.safetensors does: a weight w of
// module p is p._w_qdata, p._w_scale and p._w_zero_point, and what it is stands in the file's metadata.
var torchaoPlain = &folderFormat{
	name: "torchao",
	refuse: func(m *matrix, p quant.QParams) string {
		switch {
		case m.scheme.Bits != 4:
			return fmt.Sprintf("%d bits, Int4Tensor has 4", m.scheme.Bits)
		case m.k%8 != 0:
			return fmt.Sprintf("%d inputs are not a multiple of 8", m.k)
		case !m.scheme.Symmetric && slices.ContainsFunc(p.Scale, func(s float32) bool { return s > 8180 }):
			return "a scale so large that fp16 does not hold the float zero point (8-z)*s"
		}
		return ""
	},
	tensor: torchaoTensors,
	config: func(m *model) (any, error) { return torchaoConfig(m), nil },
	meta:   torchaoMeta,
	read:   readTorchao,
}

// torchaoDType is the dtype of scales and zero points. The kernel behind Int4Tensor wants bf16, which holds symmetric
// schemes; the zero point of an asymmetric one has 3 bits more than its scale.
func torchaoDType(p quant.QParams) string {
	if slices.ContainsFunc(p.ZeroPoint, func(z int32) bool { return z != 8 }) {
		return "F16"
	}
	return "BF16"
}

func torchaoTensors(m *matrix) ([]ckpt.Tensor, error) {
	p, err := m.params()
	if err != nil {
		return nil, err
	}
	groups, dtype := m.k/m.group(), torchaoDType(p)
	return []ckpt.Tensor{
		{Name: m.path + "._weight_qdata", DType: "I8", Shape: []int64{m.n, m.k / 2}, Stream: func(w io.Writer) error {
			x, err := m.checkedWords()
			if err != nil {
				return err
			}
			return words(w, flipped(x)) // the words' bytes hold input 2i low and 2i+1 high already
		}},
		columnScales(m, "._weight_scale", dtype),
		floatTensor(m.path+"._weight_zero_point", dtype, func() ([]float32, error) {
			p, err := m.params()
			if err != nil {
				return nil, err
			}
			p = m.spread(p)
			out := make([]float32, len(p.Scale))
			for i, z := range p.ZeroPoint {
				out[i] = float32(8-z) * p.Scale[i]
			}
			return transposed(out, m.n, groups), nil
		}, groups, m.n),
	}, nil
}

// flipped turns codes u into the two's complement of u - 8, or back.
func flipped(x []int32) []int32 {
	out := make([]int32, len(x))
	for i, w := range x {
		out[i] = int32(uint32(w) ^ 0x8888_8888)
	}
	return out
}

// object is how torchao writes an object as JSON.
type object struct {
	Type    string   `json:"_type"`
	Version int      `json:"_version,omitempty"`
	Data    any      `json:"_data,omitempty"`
	Tensors []string `json:"_tensor_data_names,omitempty"`
}

// torchaoMeta is the metadata of a file: a description for each tensor as the model sees it, and their names.
func torchaoMeta(m *model) (func([]ckpt.Tensor) map[string]string, error) {
	of := map[string]*matrix{}
	for _, x := range m.matrices {
		of[x.path] = x
	}
	return func(list []ckpt.Tensor) map[string]string {
		meta := map[string]string{"format": "pt"}
		var names []string
		for _, t := range list {
			name, what := t.Name, object{Type: "Tensor"}
			if path, part, ok := strings.Cut(name, "._weight_"); ok && of[path] != nil {
				if part != "qdata" {
					continue // told with the codes
				}
				x := of[path]
				name = path + ".weight"
				what = object{Type: "Int4Tensor", Tensors: []string{"qdata", "scale", "zero_point"}, Data: map[string]any{
					"block_size": []int64{1, x.group()}, "shape": []int64{x.n, x.k}, "activation_dtype": object{Type: "torch.dtype", Data: "bfloat16"},
				}}
			}
			text, _ := json.Marshal(what) // strings and integers never fail
			meta[name], names = string(text), append(names, name)
		}
		text, _ := json.Marshal(names)
		meta["tensor_names"] = string(text)
		return meta
	}, nil
}

// torchaoConfig is the quantization_config of transformers' TorchAoConfig.
func torchaoConfig(m *model) any {
	kind := func(s quant.WeightScheme, k int64) object {
		size := groupSize(s)
		if size == -1 {
			size = k
		}
		return object{Type: "Int4WeightOnlyConfig", Version: 2, Data: map[string]any{
			"group_size": size, "set_inductor_config": true,
			"int4_packing_format":           object{Type: "Int4PackingFormat", Data: "PLAIN"},
			"int4_choose_qparams_algorithm": object{Type: "Int4ChooseQParamsAlgorithm", Data: "TINYGEMM"},
		}}
	}
	each, sizes := map[string]any{}, map[int64]bool{}
	var last object
	for _, x := range m.matrices {
		last = kind(x.scheme, x.k)
		each[x.path], sizes[x.group()] = last, true
	}
	if len(sizes) > 1 {
		last = object{Type: "FqnToConfig", Version: 1, Data: map[string]any{"fqn_to_config": each}}
	}
	return map[string]any{"quant_method": "torchao", "quant_type": map[string]any{"default": last}, "modules_to_not_convert": keptNames(m)}
}

func readTorchao(dir string, quantization json.RawMessage) (*model, error) {
	var c struct {
		Keep []string `json:"modules_to_not_convert"`
	}
	if err := json.Unmarshal(quantization, &c); err != nil {
		return nil, fmt.Errorf("config.json: quantization_config: %w", err)
	}
	m, err := readFolder(dir, func(src *ckpt.Reader, info ckpt.Info) (*matrix, error) {
		path, ok := strings.CutSuffix(info.Name, "._weight_qdata")
		if !ok {
			return nil, nil
		}
		return torchaoMatrix(src, path)
	}, "._weight_qdata", "._weight_scale", "._weight_zero_point")
	if err != nil {
		return m, err
	}
	m.ignore = keptParts(m, c.Keep)
	return m, nil
}

// torchaoMatrix reads the description of a weight and what belongs to it.
func torchaoMatrix(src *ckpt.Reader, path string) (*matrix, error) {
	name := path + ".weight"
	text, ok := src.Header().Metadata[name]
	var what struct {
		Type string `json:"_type"`
		Data struct {
			Block []int64 `json:"block_size"`
			Shape []int64 `json:"shape"`
		} `json:"_data"`
	}
	if err := json.Unmarshal([]byte(text), &what); !ok || err != nil {
		return nil, fmt.Errorf("%s: metadata of %q is %q, want the description of an Int4Tensor", src.Header().Path, name, text)
	}
	d := what.Data
	if what.Type != "Int4Tensor" || len(d.Block) != 2 || d.Block[0] != 1 || len(d.Shape) != 2 || d.Shape[0] < 1 || d.Shape[1] < 2 {
		return nil, fmt.Errorf("%s: %q is a %s of block_size %v and shape %v, want an Int4Tensor of two dimensions in blocks [1, n]",
			src.Header().Path, name, what.Type, d.Block, d.Shape)
	}
	m := &matrix{path: path, n: d.Shape[0], k: d.Shape[1]}
	qdata, scale, zero := path+"._weight_qdata", path+"._weight_scale", path+"._weight_zero_point"
	groups, _, err := dims2(src, scale, dtypeOf(src, scale))
	if err != nil {
		return nil, err
	}
	if m.k%8 != 0 {
		return nil, fmt.Errorf("%s: %q has %d inputs, want a multiple of 8", src.Header().Path, name, m.k)
	}
	if err := expect(src, qdata, dtypeOf(src, qdata), m.n, m.k/2); err != nil {
		return nil, err
	}
	if t := dtypeOf(src, qdata); t != "I8" && t != "U8" {
		return nil, fmt.Errorf("%s: tensor %q has dtype %s, want I8 or U8", src.Header().Path, qdata, t)
	}
	for _, part := range []string{scale, zero} {
		if err := expect(src, part, ckpt.AnyFloat, groups, m.n); err != nil {
			return nil, err
		}
	}
	info, data, err := src.Bytes(zero)
	if err != nil {
		return nil, err
	}
	z, err := floats(info.DType, data)
	if err != nil {
		return nil, err
	}
	symmetric := !slices.ContainsFunc(z, func(v float32) bool { return v != 0 })
	size := d.Block[1]
	if size == m.k && !slices.Contains([]int64{32, 64, 128}, size) {
		size = -1 // the format does not tell a row from a group of its length
	}
	if m.scheme, err = columnGroups(path, 4, symmetric, m.k, groups, size); err != nil {
		return nil, err
	}
	m.words = func() ([]int32, error) {
		_, data, err := src.Bytes(qdata)
		return flipped(int32s(data)), err
	}
	m.params = func() (quant.QParams, error) { return torchaoParams(src, m, scale, zero) }
	return m, nil
}

// torchaoParams undoes the zero points in the domain of the weights: z is 8 - zero/scale, which must be one of the codes.
func torchaoParams(src *ckpt.Reader, m *matrix, scale, zero string) (quant.QParams, error) {
	p := quant.QParams{Rows: m.n, Groups: m.k / m.group()}
	read := func(name string) ([]float32, error) {
		info, data, err := src.Bytes(name)
		if err != nil {
			return nil, err
		}
		x, err := floats(info.DType, data)
		return transposed(x, p.Groups, p.Rows), err
	}
	var err error
	if p.Scale, err = read(scale); err != nil || m.scheme.Symmetric {
		return p, err
	}
	z, err := read(zero)
	if err != nil {
		return p, err
	}
	p.ZeroPoint = make([]int32, len(z))
	for i, v := range z {
		s := p.Scale[i]
		q := int32(8 - v/s)
		if q < 0 || q > 15 || float32(8-q)*s != v {
			return p, fmt.Errorf("%s: zero point [%d, %d] is %v with a scale of %v, want a whole multiple that is a code", m.path, int64(i)/p.Groups, int64(i)%p.Groups, v, s)
		}
		p.ZeroPoint[i] = q
	}
	return p, nil
}

func dtypeOf(src *ckpt.Reader, name string) string {
	info, _ := src.Info(name)
	return info.DType
}
