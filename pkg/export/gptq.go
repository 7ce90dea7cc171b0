package export

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/quant"
)

// quantizeConfigFile is where the format's own tools keep what transformers keeps in config.json.
const quantizeConfigFile = "quantize_config.json"

// gptqConfig is the quantization_config of GPTQ checkpoints. Dynamic gives layers that its regular expressions match other
// settings ("+:" or nothing before the expression), or leaves them float ("-:").
type gptqConfig struct {
	Method     string                 `json:"quant_method"`
	Bits       int                    `json:"bits"`
	GroupSize  int64                  `json:"group_size"` // -1: one scale for a row
	Symmetric  bool                   `json:"sym"`
	DescAct    bool                   `json:"desc_act"`
	LMHead     bool                   `json:"lm_head"`
	Checkpoint string                 `json:"checkpoint_format,omitempty"` // "gptq" or "gptq_v2"; absent: gptq
	Dynamic    map[string]gptqDynamic `json:"dynamic,omitempty"`
}

type gptqDynamic struct {
	Bits      int   `json:"bits,omitempty"`
	GroupSize int64 `json:"group_size,omitempty"`
	Symmetric *bool `json:"sym,omitempty"`
}

// gptq is the format of a version: the first stores zero points less 1.
func gptq(version int) *folderFormat {
	f := &folderFormat{name: "gptq"}
	checkpoint, less := "gptq", int32(1)
	if version == 2 {
		f.name, checkpoint, less = "gptq-v2", "gptq_v2", 0
	}
	f.refuse = func(m *matrix, p quant.QParams) string {
		per := m.scheme.PerWord()
		if m.n%per != 0 || m.k%per != 0 {
			return fmt.Sprintf("[%d, %d] is not a multiple of the %d codes of a word", m.n, m.k, per)
		}
		if less == 0 {
			return ""
		}
		n := 0
		for _, z := range p.ZeroPoint {
			if z == 0 {
				n++
			}
		}
		if n > 0 {
			return "version 1 stores zero points less 1 and has no place for 0 (gptq-v2 has)"
		}
		return ""
	}
	f.tensor = func(m *matrix) ([]ckpt.Tensor, error) { return gptqTensors(m, less), nil }
	f.config = func(m *model) (any, error) { return newGPTQConfig(m, checkpoint), nil }
	f.files = func(config any) (map[string]any, error) { return map[string]any{quantizeConfigFile: config}, nil }
	f.read = func(dir string, quantization json.RawMessage) (*model, error) {
		return readGPTQ(dir, quantization, less)
	}
	return f
}

// gptqTensors: words run along the inputs, scales and zero points lie under each other.
func gptqTensors(m *matrix, less int32) []ckpt.Tensor {
	per := m.scheme.PerWord()
	groups := m.k / m.group()
	return []ckpt.Tensor{
		wordTensor(m.path+".qweight", func() ([]int32, error) {
			x, err := m.checkedWords()
			if err != nil {
				return nil, err
			}
			return transposed(x, m.n, m.k/per), nil
		}, m.k/per, m.n),
		wordTensor(m.path+".qzeros", func() ([]int32, error) {
			p, err := m.params()
			if err != nil {
				return nil, err
			}
			z := transposed(m.zeros(m.spread(p)), m.n, groups) // [groups, n]
			out := make([]int32, int64(len(z))/per)
			for i, v := range z {
				u := uint32(v-less) & (1<<m.scheme.Bits - 1)
				out[int64(i)/per] |= int32(u << (int64(m.scheme.Bits) * (int64(i) % per)))
			}
			return out, nil
		}, groups, m.n/per),
		columnScales(m, ".scales", "F16"),
		wordTensor(m.path+".g_idx", func() ([]int32, error) {
			out := make([]int32, m.k)
			for k := range out {
				out[k] = int32(int64(k) / m.group())
			}
			return out, nil
		}, m.k),
	}
}

// columnScales are the scales [groups, n].
func columnScales(m *matrix, suffix, dtype string) ckpt.Tensor {
	groups := m.k / m.group()
	return floatTensor(m.path+suffix, dtype, func() ([]float32, error) {
		p, err := m.params()
		if err != nil {
			return nil, err
		}
		return transposed(m.spread(p).Scale, m.n, groups), nil
	}, groups, m.n)
}

// newGPTQConfig has the settings of most layers at its top and those of the others under dynamic.
func newGPTQConfig(m *model, checkpoint string) gptqConfig {
	count, most := map[quant.WeightScheme]int{}, quant.WeightScheme{}
	for _, x := range m.matrices {
		s := rowScheme(x.scheme)
		if count[s]++; count[s] > count[most] {
			most = s
		}
	}
	c := gptqConfig{
		Method: "gptq", Bits: most.Bits, GroupSize: groupSize(most), Symmetric: most.Symmetric, Checkpoint: checkpoint,
		Dynamic: map[string]gptqDynamic{},
	}
	for _, x := range m.matrices {
		if s := rowScheme(x.scheme); s != most {
			c.Dynamic["+:"+exactly(x.path)] = gptqDynamic{Bits: s.Bits, GroupSize: groupSize(s), Symmetric: &s.Symmetric}
		}
	}
	for _, entry := range m.ignore {
		if expr, ok := strings.CutPrefix(entry, "re:"); ok {
			c.Dynamic["-:"+expr] = gptqDynamic{}
		} else {
			c.Dynamic["-:"+exactly(entry)] = gptqDynamic{}
		}
	}
	return c
}

// rowScheme is a scheme as formats with scales for rows alone hold it.
func rowScheme(s quant.WeightScheme) quant.WeightScheme {
	if s.Granularity == quant.PerTensor {
		s.Granularity = quant.PerChannel
	}
	return s
}

func groupSize(s quant.WeightScheme) int64 {
	if s.Granularity == quant.PerGroup {
		return s.GroupSize
	}
	return -1
}

// exactly is a regular expression for one path, inexact its inverse.
func exactly(path string) string { return "^" + regexp.QuoteMeta(path) + "$" }

func inexact(expr string) (path string, ok bool) {
	body, begins := strings.CutPrefix(expr, "^")
	body, ends := strings.CutSuffix(body, "$")
	path = strings.ReplaceAll(body, `\.`, ".")
	return path, begins && ends && exactly(path) == expr
}

// scheme is that of the layer at a path with these dimensions.
func (c *gptqConfig) scheme(path string) (bits int, size int64, symmetric bool, err error) {
	bits, size, symmetric = c.Bits, c.GroupSize, c.Symmetric
	for _, expr := range sortedKeys(c.Dynamic) {
		d := c.Dynamic[expr]
		if strings.HasPrefix(expr, "-:") {
			continue
		}
		re, err := regexp.Compile("^(?:" + strings.TrimPrefix(expr, "+:") + ")")
		if err != nil {
			return 0, 0, false, fmt.Errorf("quantization_config: dynamic %q: %w", expr, err)
		}
		if !re.MatchString(path) {
			continue
		}
		if d.Bits != 0 {
			bits = d.Bits
		}
		if d.GroupSize != 0 {
			size = d.GroupSize
		}
		if d.Symmetric != nil {
			symmetric = *d.Symmetric
		}
	}
	if bits != 4 && bits != 8 {
		err = fmt.Errorf("quantization_config: %d bits for %s, want 4 or 8", bits, path)
	}
	return bits, size, symmetric, err
}

// kept is what stays float, from the "-:" entries.
func (c *gptqConfig) kept() (ignore []string) {
	for _, expr := range sortedKeys(c.Dynamic) {
		e, ok := strings.CutPrefix(expr, "-:")
		if !ok {
			continue
		}
		if path, ok := inexact(e); ok {
			ignore = append(ignore, path)
		} else {
			ignore = append(ignore, "re:"+e)
		}
	}
	return ignore
}

func readGPTQ(dir string, quantization json.RawMessage, less int32) (*model, error) {
	var c gptqConfig
	if err := json.Unmarshal(quantization, &c); err != nil {
		return nil, fmt.Errorf("config.json: quantization_config: %w", err)
	}
	m, err := readFolder(dir, func(src *ckpt.Reader, info ckpt.Info) (*matrix, error) {
		path, ok := strings.CutSuffix(info.Name, ".qweight")
		if !ok {
			return nil, nil
		}
		return gptqMatrix(src, path, &c, less)
	}, ".qweight", ".qzeros", ".scales", ".g_idx")
	if err != nil {
		return m, err
	}
	m.ignore = c.kept()
	return m, nil
}

func gptqMatrix(src *ckpt.Reader, path string, c *gptqConfig, less int32) (*matrix, error) {
	bits, size, symmetric, err := c.scheme(path)
	if err != nil {
		return nil, err
	}
	per := int64(32 / bits)
	rows, n, err := dims2(src, path+".qweight", "I32")
	if err != nil {
		return nil, err
	}
	groups, _, err := dims2(src, path+".qzeros", "I32")
	if err != nil {
		return nil, err
	}
	m := &matrix{path: path, n: n, k: rows * per}
	if m.scheme, err = columnGroups(path, bits, symmetric, m.k, groups, size); err != nil {
		return nil, err
	}
	if err := expect(src, path+".qzeros", "I32", groups, n/per); err != nil {
		return nil, err
	}
	if err := expect(src, path+".scales", ckpt.AnyFloat, groups, n); err != nil {
		return nil, err
	}
	if err := gptqOrder(src, m); err != nil {
		return nil, err
	}
	m.words = func() ([]int32, error) {
		_, data, err := src.Bytes(path + ".qweight")
		return transposed(int32s(data), rows, n), err
	}
	m.params = func() (quant.QParams, error) {
		zeros := make([]int32, groups*n)
		_, data, err := src.Bytes(path + ".qzeros")
		if err != nil {
			return quant.QParams{}, err
		}
		for i, w := range int32s(data) {
			for j := range per {
				zeros[int64(i)*per+j] = int32(uint32(w)>>(int64(bits)*j)&(1<<bits-1)) + less
			}
		}
		return columnParams(src, m, path+".scales", zeros)
	}
	return m, nil
}

// gptqOrder refuses inputs that are not in the order of their groups.
func gptqOrder(src *ckpt.Reader, m *matrix) error {
	name := m.path + ".g_idx"
	if _, ok := src.Info(name); !ok {
		return nil // files without it are in order
	}
	if err := expect(src, name, "I32", m.k); err != nil {
		return err
	}
	_, data, err := src.Bytes(name)
	if err != nil {
		return err
	}
	for k, g := range int32s(data) {
		if int64(g) != int64(k)/m.group() {
			return fmt.Errorf("tensor %q puts input %d into group %d, want %d: inputs in another order (desc_act) are not read", name, k, g, int64(k)/m.group())
		}
	}
	return nil
}

// columnParams are scales and zero points that lie in a file as [groups, n].
func columnParams(src *ckpt.Reader, m *matrix, scales string, zeros []int32) (quant.QParams, error) {
	groups := m.k / m.group()
	p := quant.QParams{Rows: m.n, Groups: groups}
	info, data, err := src.Bytes(scales)
	if err != nil {
		return p, err
	}
	s, err := floats(info.DType, data)
	if err != nil {
		return p, fmt.Errorf("tensor %q: %w", scales, err)
	}
	p.Scale = transposed(s, groups, m.n)
	for i, z := range zeros {
		switch half := int32(1) << (m.scheme.Bits - 1); {
		case m.scheme.Symmetric && z != half:
			return p, fmt.Errorf("%s: zero point [%d, %d] of a symmetric layer is %d, want %d", m.path, int64(i)/m.n, int64(i)%m.n, z, half)
		case z < 0 || z >= 2*half:
			return p, fmt.Errorf("%s: zero point [%d, %d] is %d, want 0 to %d", m.path, int64(i)/m.n, int64(i)%m.n, z, 2*half-1)
		}
	}
	if !m.scheme.Symmetric {
		p.ZeroPoint = transposed(zeros, groups, m.n)
	}
	return p, nil
}
