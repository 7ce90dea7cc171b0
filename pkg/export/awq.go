package export

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/quant"
)

// awqOrder is which of 8 outputs each nibble of a word has.
var awqOrder = [8]int64{0, 2, 4, 6, 1, 3, 5, 7}

// awqConfig is the quantization_config of AWQ checkpoints.
type awqConfig struct {
	Method    string   `json:"quant_method"`
	Bits      int      `json:"bits"`
	GroupSize int64    `json:"group_size"` // -1: one scale for a row
	Version   string   `json:"version"`
	ZeroPoint bool     `json:"zero_point"`
	Keep      []string `json:"modules_to_not_convert"`
}

// awqGEMM is AWQ's layout of the version "gemm".
var awqGEMM = &folderFormat{
	name: "awq",
	refuse: func(m *matrix, _ quant.QParams) string {
		switch {
		case m.scheme.Bits != 4:
			return fmt.Sprintf("%d bits, the format has 4", m.scheme.Bits)
		case m.n%8 != 0:
			return fmt.Sprintf("%d outputs are not a multiple of the 8 codes of a word", m.n)
		}
		return ""
	},
	mixed: func(m *model) map[*matrix]string {
		size, out := groupSize(awqScheme(m)), map[*matrix]string{}
		for _, x := range m.matrices {
			if g := groupSize(x.scheme); g != size && !x.table {
				out[x] = fmt.Sprintf("%v among layers of group_size %d, the format has one for all", x.scheme, size)
			}
		}
		return out
	},
	tensor: func(m *matrix) ([]ckpt.Tensor, error) { return awqTensors(m), nil },
	config: func(m *model) (any, error) {
		return awqConfig{Method: "awq", Bits: 4, GroupSize: groupSize(awqScheme(m)), Version: "gemm", ZeroPoint: true, Keep: keptNames(m)}, nil
	},
	read: readAWQ,
}

// awqScheme is that of most layers.
func awqScheme(m *model) (most quant.WeightScheme) {
	count := map[int64]int{}
	best := 0
	for _, x := range m.matrices {
		if x.table {
			continue
		}
		if count[groupSize(x.scheme)]++; count[groupSize(x.scheme)] > best {
			best, most = count[groupSize(x.scheme)], x.scheme
		}
	}
	return most
}

// awqTensors: words run along the outputs, 8 of them in an order of their own.
func awqTensors(m *matrix) []ckpt.Tensor {
	groups := m.k / m.group()
	return []ckpt.Tensor{
		wordTensor(m.path+".qweight", func() ([]int32, error) {
			x, err := m.checkedWords()
			if err != nil {
				return nil, err
			}
			per := (m.k + 7) / 8
			out := make([]int32, m.k*m.n/8)
			for c := range m.n / 8 {
				for k := range m.k {
					var w uint32
					for i, o := range awqOrder {
						w |= uint32(x[(8*c+o)*per+k/8]) >> (4 * (k % 8)) & 15 << (4 * i)
					}
					out[k*(m.n/8)+c] = int32(w)
				}
			}
			return out, nil
		}, m.k, m.n/8),
		wordTensor(m.path+".qzeros", func() ([]int32, error) {
			p, err := m.params()
			if err != nil {
				return nil, err
			}
			z := transposed(m.zeros(m.spread(p)), m.n, groups)
			out := make([]int32, len(z)/8)
			for i := range out {
				var w uint32
				for j, o := range awqOrder {
					w |= uint32(z[int64(i)*8+o]) << (4 * j)
				}
				out[i] = int32(w)
			}
			return out, nil
		}, groups, m.n/8),
		columnScales(m, ".scales", "F16"),
	}
}

func readAWQ(dir string, quantization json.RawMessage) (*model, error) {
	var c awqConfig
	if err := json.Unmarshal(quantization, &c); err != nil {
		return nil, fmt.Errorf("config.json: quantization_config: %w", err)
	}
	if c.Bits != 4 || c.Version != "gemm" || !c.ZeroPoint {
		return nil, fmt.Errorf("config.json: quantization_config: bits %d, version %q, zero_point %v, want 4, \"gemm\" and true", c.Bits, c.Version, c.ZeroPoint)
	}
	m, err := readFolder(dir, func(src *ckpt.Reader, info ckpt.Info) (*matrix, error) {
		path, ok := strings.CutSuffix(info.Name, ".qweight")
		if !ok {
			return nil, nil
		}
		return awqMatrix(src, path, c.GroupSize)
	}, ".qweight", ".qzeros", ".scales")
	if err != nil {
		return m, err
	}
	m.ignore = keptParts(m, c.Keep)
	return m, nil
}

func awqMatrix(src *ckpt.Reader, path string, size int64) (*matrix, error) {
	k, eighth, err := dims2(src, path+".qweight", "I32")
	if err != nil {
		return nil, err
	}
	groups, _, err := dims2(src, path+".qzeros", "I32")
	if err != nil {
		return nil, err
	}
	m := &matrix{path: path, n: eighth * 8, k: k}
	if err := expect(src, path+".qzeros", "I32", groups, eighth); err != nil {
		return nil, err
	}
	if err := expect(src, path+".scales", ckpt.AnyFloat, groups, m.n); err != nil {
		return nil, err
	}
	zeros := func() ([]int32, error) {
		_, data, err := src.Bytes(path + ".qzeros")
		out := make([]int32, groups*m.n)
		for i, w := range int32s(data) {
			for j, o := range awqOrder {
				out[int64(i)*8+o] = int32(uint32(w) >> (4 * j) & 15)
			}
		}
		return out, err
	}
	z, err := zeros()
	if err != nil {
		return nil, err
	}
	// The format says symmetric nowhere: it is a zero point of 8 everywhere, and the values are the same.
	symmetric := !slices.ContainsFunc(z, func(v int32) bool { return v != 8 })
	if m.scheme, err = columnGroups(path, 4, symmetric, k, groups, size); err != nil {
		return nil, err
	}
	m.words = func() ([]int32, error) {
		_, data, err := src.Bytes(path + ".qweight")
		if err != nil {
			return nil, err
		}
		x, per := int32s(data), (k+7)/8
		out := make([]int32, m.n*per)
		for c := range eighth {
			for k := range k {
				w := uint32(x[k*eighth+c])
				for i, o := range awqOrder {
					out[(8*c+o)*per+k/8] |= int32(w >> (4 * i) & 15 << (4 * (k % 8)))
				}
			}
		}
		return out, nil
	}
	m.params = func() (quant.QParams, error) {
		z, err := zeros()
		if err != nil {
			return quant.QParams{}, err
		}
		return columnParams(src, m, path+".scales", z)
	}
	return m, nil
}
