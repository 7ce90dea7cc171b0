package calib

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/quant"
)

// FileName is the result's usual name in a run folder.
const FileName = "calibration.safetensors"

// Names of the tensors of a layer, after its path.
const (
	scaleSuffix = ".weight_scale"      // F32 [rows, groups], on the scale grid
	zeroSuffix  = ".weight_zero_point" // I32 [rows, groups], of asymmetric schemes
	inputSuffix = ".input_scale"       // F32 [1], of static inputs
	codesSuffix = ".weight_packed"     // I32, codes as quant.PackCodes packs them, of layers that were not rounded to nearest
	foldSuffix  = ".fold_scale"        // F32 [channels], after the path of a fold
)

// metaKey is the metadata entry that holds the rest as JSON.
const metaKey = "calibration"

const formatVersion = 2

// Origin identifies what a calibration was made from, by hashes (hex).
type Origin struct {
	Model string `json:"model"`
	Data  string `json:"data"`
}

type fileMeta struct {
	Format  int               `json:"format"`
	Origin  Origin            `json:"origin"`
	Config  Config            `json:"config"`
	Schemes map[string]Scheme `json:"schemes"`
	Coded   []string          `json:"coded,omitempty"` // layers with codes
	Folds   map[string]int    `json:"folds,omitempty"` // channels
	Report  *Report           `json:"report"`
}

// Save writes r to a safetensors file, atomically. The bytes depend on the arguments only.
func (r *Result) Save(path string, from Origin) error {
	head := fileMeta{Format: formatVersion, Origin: from, Config: r.Config, Schemes: r.Schemes, Report: r.Report}
	head.Coded = slices.Sorted(maps.Keys(r.Codes))
	var tensors []ckpt.Tensor
	for _, fold := range slices.Sorted(maps.Keys(r.Folds)) {
		if head.Folds == nil {
			head.Folds = map[string]int{}
		}
		head.Folds[fold] = len(r.Folds[fold])
		tensors = append(tensors, ckpt.Tensor{Name: fold + foldSuffix, DType: "F32", Shape: []int64{int64(len(r.Folds[fold]))}, Data: bytesOf(r.Folds[fold])})
	}
	for _, layer := range head.Coded {
		t, err := packedCodes(layer, r.Schemes[layer], r.Codes[layer])
		if err != nil {
			return fmt.Errorf("calib: %s: %w", layer, err)
		}
		tensors = append(tensors, t)
	}
	meta, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("calib: %w", err)
	}
	for _, layer := range slices.Sorted(maps.Keys(r.Weights)) {
		p := r.Weights[layer]
		tensors = append(tensors, ckpt.Tensor{Name: layer + scaleSuffix, DType: "F32", Shape: []int64{p.Rows, p.Groups}, Data: bytesOf(p.Scale)})
		if p.ZeroPoint != nil {
			tensors = append(tensors, ckpt.Tensor{Name: layer + zeroSuffix, DType: "I32", Shape: []int64{p.Rows, p.Groups}, Data: bytesOf(p.ZeroPoint)})
		}
		if in, ok := r.Inputs[layer]; ok {
			tensors = append(tensors, ckpt.Tensor{Name: layer + inputSuffix, DType: "F32", Shape: []int64{1}, Data: bytesOf([]float32{in})})
		}
	}
	return ckpt.Write(path, tensors, map[string]string{metaKey: string(meta)})
}

// Load reads what Save wrote, bit for bit, and checks that it was made from want; an empty hash of want accepts any.
// Tensors that are missing, unexpected or mis-shaped are listed in one error.
func Load(path string, want Origin) (*Result, error) {
	src, err := ckpt.Open(path)
	if err != nil {
		return nil, fmt.Errorf("calib: %w", err)
	}
	defer src.Close()
	var meta fileMeta
	text, ok := src.Metadata()[metaKey]
	if !ok {
		return nil, fmt.Errorf("calib: %s: no %q in the metadata: not a calibration", path, metaKey)
	}
	if err := json.Unmarshal([]byte(text), &meta); err != nil {
		return nil, fmt.Errorf("calib: %s: metadata: %w", path, err)
	}
	if err := meta.check(want); err != nil {
		return nil, fmt.Errorf("calib: %s: %w", path, err)
	}
	r := NewResult(meta.Config)
	r.Schemes, r.Report = meta.Schemes, meta.Report
	if err := r.read(src, meta); err != nil {
		return nil, fmt.Errorf("calib: %s: %w", path, err)
	}
	return r, nil
}

func (m fileMeta) check(want Origin) error {
	if m.Format != formatVersion {
		return fmt.Errorf("format %d, want %d", m.Format, formatVersion)
	}
	var errs []error
	compare := func(what, have, want string) {
		if want != "" && have != want {
			errs = append(errs, fmt.Errorf("made from %s %.12s, want %.12s", what, have, want))
		}
	}
	compare("model", m.Origin.Model, want.Model)
	compare("data", m.Origin.Data, want.Data)
	if m.Report == nil {
		errs = append(errs, errors.New("no report in the metadata"))
	}
	return errors.Join(errs...)
}

// read fills in and checks the parameters of r.Schemes, the codes and the folds.
func (r *Result) read(src *ckpt.Reader, meta fileMeta) error {
	expected, err := meta.extras()
	if err != nil {
		return err
	}
	for layer, sch := range r.Schemes {
		rows, groups, err := sch.Weight.ParamShape(sch.Out, sch.In)
		if err != nil {
			return fmt.Errorf("%s: %w", layer, err)
		}
		expected = append(expected, ckpt.Info{Name: layer + scaleSuffix, DType: "F32", Shape: []int64{rows, groups}})
		if !sch.Weight.Symmetric {
			expected = append(expected, ckpt.Info{Name: layer + zeroSuffix, DType: "I32", Shape: []int64{rows, groups}})
		}
		if sch.Input.Mode == quant.StaticTensor {
			expected = append(expected, ckpt.Info{Name: layer + inputSuffix, DType: "F32", Shape: []int64{1}})
		}
	}
	if err := ckpt.Check(src.Infos(), expected); err != nil {
		return err
	}
	for layer, sch := range r.Schemes {
		if err := r.readLayer(src, layer, sch); err != nil {
			return fmt.Errorf("%s: %w", layer, err)
		}
	}
	return r.readExtras(src, meta)
}

func (r *Result) readLayer(src *ckpt.Reader, layer string, sch Scheme) error {
	info, data, err := src.Bytes(layer + scaleSuffix)
	if err != nil {
		return err
	}
	p := quant.QParams{Rows: info.Shape[0], Groups: info.Shape[1], Scale: numbersOf[float32](data)}
	if !sch.Weight.Symmetric {
		if _, data, err = src.Bytes(layer + zeroSuffix); err != nil {
			return err
		}
		p.ZeroPoint = numbersOf[int32](data)
	}
	if err := p.Validate(sch.Weight, sch.Out, sch.In); err != nil {
		return err
	}
	r.Weights[layer] = p
	if sch.Input.Mode != quant.StaticTensor {
		return nil
	}
	if _, data, err = src.Bytes(layer + inputSuffix); err != nil {
		return err
	}
	in := numbersOf[float32](data)[0]
	if !quant.OnGrid(in) {
		return fmt.Errorf("input scale %v is not on the scale grid", in)
	}
	r.Inputs[layer] = in
	return nil
}

// number is an element of a tensor of a file; bytesOf and numbersOf are between numbers and its little-endian bytes.
type number interface {
	float32 | float64 | int32 | int64
}

func bytesOf[T number](v []T) []byte {
	out, err := binary.Append(make([]byte, 0, binary.Size(v)), binary.LittleEndian, v)
	if err != nil {
		panic(err) // unreachable: it fails for other types only
	}
	return out
}

func numbersOf[T number](b []byte) []T {
	var one T
	out := make([]T, len(b)/binary.Size(one))
	if _, err := binary.Decode(b, binary.LittleEndian, out); err != nil {
		panic(err) // unreachable: there are as many
	}
	return out
}
