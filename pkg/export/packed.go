package export

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// compressedTensors is the packed checkpoint of package qat.
var compressedTensors = &folderFormat{
	name:   "compressed-tensors",
	refuse: func(*matrix, quant.QParams) string { return "" },
	tensor: func(m *matrix) ([]ckpt.Tensor, error) {
		p, err := m.params()
		if err != nil {
			return nil, err
		}
		return packedTensors(m, narrowest(p.Scale)), nil
	},
	config: func(m *model) (any, error) { return m.packedConfig(), nil },
	read:   readPacked,
	tables: true, activations: true,
}

// packedTensors are the tensors of a matrix in the layout of compressed-tensors; scale is the dtype of its scales.
func packedTensors(m *matrix, scale string) []ckpt.Tensor {
	rows, groups, _ := m.scheme.ParamShape(m.n, m.k) // a scheme that fits, or there would be no parameters
	per := m.scheme.PerWord()
	shape := []int64{rows, groups}
	if m.scheme.Granularity == quant.PerTensor {
		shape = []int64{1}
	}
	size := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(m.n)), uint64(m.k))
	list := []ckpt.Tensor{
		wordTensor(m.path+".weight_packed", m.words, m.n, (m.k+per-1)/per),
		floatTensor(m.path+".weight_scale", scale, func() ([]float32, error) { p, err := m.params(); return p.Scale, err }, shape...),
		{Name: m.path + ".weight_shape", DType: "I64", Shape: []int64{2}, Data: size},
	}
	switch {
	case m.scheme.Symmetric:
	case m.scheme.Granularity == quant.PerTensor:
		list = append(list, ckpt.Tensor{Name: m.path + ".weight_zero_point", DType: "I8", Shape: []int64{1}, Stream: func(w io.Writer) error {
			p, err := m.params()
			if err != nil {
				return err
			}
			_, err = w.Write([]byte{byte(int8(p.ZeroPoint[0] - (m.scheme.QMax()+1)/2))})
			return err
		}})
	default:
		list = append(list, wordTensor(m.path+".weight_zero_point", func() ([]int32, error) {
			p, err := m.params()
			if err != nil {
				return nil, err
			}
			return quant.PackZeroPoints(p.ZeroPoint, rows, groups, m.scheme)
		}, (rows+per-1)/per, groups))
	}
	return list
}

func readPacked(dir string, quantization json.RawMessage) (*model, error) {
	cfg, err := qat.ParsePackedConfig(quantization)
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if n := len(cfg.Rotations()); n > 0 {
		return nil, fmt.Errorf("the model turns %d inputs and residual streams by Hadamard matrices as it runs, which other formats and their "+
			"loaders do not: calibrate without calib.rotation", n)
	}
	src, err := ckpt.Open(dir)
	if err != nil {
		return nil, err
	}
	m := &model{ignore: cfg.Ignore(), closers: []func() error{src.Close}}
	return m, m.takePacked(src, cfg)
}

// takePacked adds the matrices and the other tensors of src to m.
func (m *model) takePacked(src *ckpt.Reader, cfg *qat.PackedConfig) error {
	owned := map[string]bool{}
	for _, info := range src.Infos() {
		path, ok := strings.CutSuffix(info.Name, ".weight_packed")
		if !ok {
			continue
		}
		w, a, table, ok := cfg.Find(path)
		if !ok {
			return fmt.Errorf("quantization_config has no group for %q", path)
		}
		x, err := packedMatrix(src, path, w, a)
		if err != nil {
			return err
		}
		x.table = table
		for _, part := range []string{"packed", "scale", "shape", "zero_point"} {
			owned[path+".weight_"+part] = true
		}
		m.matrices = append(m.matrices, x)
	}
	for _, info := range src.Infos() {
		if !owned[info.Name] {
			m.rest = append(m.rest, copied(src, info))
		}
	}
	return nil
}

// packedMatrix describes what the tensors of path hold, after checking their dtypes and shapes.
func packedMatrix(src *ckpt.Reader, path string, w quant.WeightScheme, a quant.ActivationScheme) (*matrix, error) {
	info, shape, err := src.Bytes(path + ".weight_shape")
	if err != nil {
		return nil, err
	}
	if info.DType != "I64" || info.Elements() != 2 {
		return nil, fmt.Errorf("tensor %v, want I64 [2]", info)
	}
	m := &matrix{path: path, scheme: w, activation: a, n: int64(binary.LittleEndian.Uint64(shape)), k: int64(binary.LittleEndian.Uint64(shape[8:]))}
	const most = 1 << 31
	if m.n < 1 || m.k < 1 || m.n > most || m.k > most {
		return nil, fmt.Errorf("tensor %q is [%d, %d], want sizes from 1 to %d", info.Name, m.n, m.k, int64(most))
	}
	rows, groups, err := w.ParamShape(m.n, m.k)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	per := w.PerWord()
	if err := expect(src, path+".weight_packed", "I32", m.n, (m.k+per-1)/per); err != nil {
		return nil, err
	}
	m.words = func() ([]int32, error) {
		_, data, err := src.Bytes(path + ".weight_packed")
		return int32s(data), err
	}
	scales, zeros := []int64{rows, groups}, []int64{(rows + per - 1) / per, groups}
	zero := "I32"
	if w.Granularity == quant.PerTensor {
		scales, zeros, zero = []int64{1}, []int64{1}, "I8"
	}
	if err := expect(src, path+".weight_scale", ckpt.AnyFloat, scales...); err != nil {
		return nil, err
	}
	if !w.Symmetric {
		if err := expect(src, path+".weight_zero_point", zero, zeros...); err != nil {
			return nil, err
		}
	}
	m.params = func() (quant.QParams, error) { return packedParams(src, m, rows, groups) }
	return m, nil
}

func packedParams(src *ckpt.Reader, m *matrix, rows, groups int64) (quant.QParams, error) {
	p := quant.QParams{Rows: rows, Groups: groups}
	info, data, err := src.Bytes(m.path + ".weight_scale")
	if err != nil {
		return p, err
	}
	if p.Scale, err = floats(info.DType, data); err != nil {
		return p, fmt.Errorf("tensor %q: %w", info.Name, err)
	}
	if m.scheme.Symmetric {
		return p, nil
	}
	if _, data, err = src.Bytes(m.path + ".weight_zero_point"); err != nil {
		return p, err
	}
	if m.scheme.Granularity == quant.PerTensor {
		p.ZeroPoint = []int32{int32(int8(data[0])) + (m.scheme.QMax()+1)/2}
		return p, nil
	}
	p.ZeroPoint, err = quant.UnpackZeroPoints(int32s(data), rows, groups, m.scheme)
	return p, err
}

// expect refuses a tensor that is missing or of another dtype or shape.
func expect(src *ckpt.Reader, name, dtype string, shape ...int64) error {
	info, ok := src.Info(name)
	if !ok {
		return fmt.Errorf("%s: no tensor %q", src.Header().Path, name)
	}
	if dtype == ckpt.AnyFloat {
		if info.DType != "F32" && info.DType != "F16" && info.DType != "BF16" {
			return fmt.Errorf("%s: tensor %q has dtype %s, want F32, F16 or BF16", src.Header().Path, name, info.DType)
		}
		dtype = info.DType
	}
	if info.DType != dtype || !slices.Equal(info.Shape, shape) {
		return fmt.Errorf("%s: tensor %v, want %s %v", src.Header().Path, info, dtype, shape)
	}
	return nil
}
