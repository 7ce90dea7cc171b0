package calib

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

const statisticsFormat = 1

// Names of the tensors of a layer's statistics, after its path.
const (
	squaresSuffix = ".squares"   // F64 [In], sums of x²
	sizesSuffix   = ".sizes"     // F64 [In], sums of |x|
	lowSuffix     = ".low"       // F32 [In]
	highSuffix    = ".high"      // F32 [In]
	countsSuffix  = ".histogram" // I64 [bins]
	gramSuffix    = ".gram"      // F32 [In, In], of the first of the layers that share it
)

// statisticsMeta is the metadata entry "calibration": what is not a tensor.
type statisticsMeta struct {
	Format    int         `json:"format"`
	Origin    Origin      `json:"origin"`
	Batches   int         `json:"batches"`
	Averaging float64     `json:"averaging_constant"`
	Grams     bool        `json:"grams"`
	Rotation  string      `json:"rotation,omitempty"` // of the model; "" for none
	Layers    []layerMeta `json:"layers"`
}

type layerMeta struct {
	Path    string        `json:"path"`
	In      int64         `json:"in"`
	Tokens  int64         `json:"tokens"`
	Range   MinMax        `json:"range"`
	Average MovingAverage `json:"average"`
	Exp     int           `json:"histogram_exp"`
	N       int64         `json:"histogram_n"`
	Min     float32       `json:"histogram_min"`
	Max     float32       `json:"histogram_max"`
	Gram    string        `json:"gram,omitempty"` // the layer that has it
	Rows    int64         `json:"gram_rows,omitempty"`
}

// Save writes all statistics to a safetensors file, atomically; a Gram matrix once, and never as a second copy. The bytes
// depend on the statistics only.
func (s *Statistics) Save(path string, from Origin, cfg Config) error {
	meta := statisticsMeta{Format: statisticsFormat, Origin: from, Batches: s.Batches, Averaging: cfg.AveragingConstant, Grams: cfg.NeedsGrams(), Rotation: cfg.Turn()}
	var tensors []ckpt.Tensor
	owners := map[*Gram]string{}
	for _, l := range s.Layers {
		h := &l.Values
		m := layerMeta{
			Path: l.Path, In: l.In, Tokens: l.Tokens, Range: l.Range, Average: l.Average, Exp: h.exp, N: h.n, Min: h.min, Max: h.max,
		}
		if l.Gram != nil {
			if owners[l.Gram] == "" {
				owners[l.Gram] = l.Path
				tensors = append(tensors, ckpt.Tensor{Name: l.Path + gramSuffix, DType: "F32", Shape: []int64{l.In, l.In}, Stream: l.Gram.write})
			}
			m.Gram, m.Rows = owners[l.Gram], l.Gram.Rows
		}
		meta.Layers = append(meta.Layers, m)
		tensors = append(tensors,
			ckpt.Tensor{Name: l.Path + squaresSuffix, DType: "F64", Shape: []int64{l.In}, Data: bytesOf(l.squares)},
			ckpt.Tensor{Name: l.Path + sizesSuffix, DType: "F64", Shape: []int64{l.In}, Data: bytesOf(l.sizes)},
			ckpt.Tensor{Name: l.Path + lowSuffix, DType: "F32", Shape: []int64{l.In}, Data: bytesOf(l.low)},
			ckpt.Tensor{Name: l.Path + highSuffix, DType: "F32", Shape: []int64{l.In}, Data: bytesOf(l.high)},
			ckpt.Tensor{Name: l.Path + countsSuffix, DType: "I64", Shape: []int64{int64(len(h.counts))}, Data: bytesOf(h.counts)})
	}
	text, err := json.Marshal(meta)
	if err != nil {
		return fmt.Errorf("calib: %w", err)
	}
	return ckpt.Write(path, tensors, map[string]string{metaKey: string(text)})
}

// write streams the matrix.
func (g *Gram) write(w io.Writer) error {
	b, err := tensor.Bytes(g.sum)
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// LoadStatistics reads what Save wrote, bit for bit, for the same slots and configuration. It is an error when the file was
// made from another model or other data, knows other layers, or lacks what cfg needs. The caller closes the statistics.
func LoadStatistics(path string, want Origin, slots []*nn.Slot, cfg Config) (*Statistics, error) {
	src, err := ckpt.Open(path)
	if err != nil {
		return nil, fmt.Errorf("calib: %w", err)
	}
	defer src.Close()
	var meta statisticsMeta
	if err := json.Unmarshal([]byte(src.Metadata()[metaKey]), &meta); err != nil {
		return nil, fmt.Errorf("calib: %s: metadata: %w", path, err)
	}
	s := &Statistics{Batches: meta.Batches, byPath: map[string]*Layer{}}
	err = meta.check(want, slots, cfg)
	if err == nil {
		err = s.read(src, meta)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("calib: %s: %w", path, err)
	}
	if err := s.covers(slots, cfg); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (m statisticsMeta) check(want Origin, slots []*nn.Slot, cfg Config) error {
	if m.Format != statisticsFormat {
		return fmt.Errorf("format %d of statistics, want %d", m.Format, statisticsFormat)
	}
	if err := (fileMeta{Format: formatVersion, Origin: m.Origin, Report: new(Report)}).check(want); err != nil {
		return err
	}
	var errs []error
	if cfg.NeedsGrams() && !m.Grams {
		errs = append(errs, errors.New("the statistics do not tell how channels go together, which the configuration needs"))
	}
	if m.Rotation != cfg.Turn() {
		errs = append(errs, fmt.Errorf("the statistics are those of rotation %q, want %q", m.Rotation, cfg.Turn()))
	}
	if m.Averaging != cfg.AveragingConstant {
		errs = append(errs, fmt.Errorf("averaging_constant %v, want %v", m.Averaging, cfg.AveragingConstant))
	}
	if len(m.Layers) != len(slots) {
		errs = append(errs, fmt.Errorf("%d layers, want %d", len(m.Layers), len(slots)))
	}
	for i := range min(len(m.Layers), len(slots)) {
		if l, s := m.Layers[i], slots[i]; l.Path != s.Path || l.In != s.In {
			errs = append(errs, fmt.Errorf("layer %d is %s of width %d, want %s of width %d", i, l.Path, l.In, s.Path, s.In))
		}
	}
	return errors.Join(errs...)
}

func (s *Statistics) read(src *ckpt.Reader, meta statisticsMeta) error {
	var expected []ckpt.Info
	for _, m := range meta.Layers {
		for suffix, dtype := range map[string]string{squaresSuffix: "F64", sizesSuffix: "F64", lowSuffix: "F32", highSuffix: "F32"} {
			expected = append(expected, ckpt.Info{Name: m.Path + suffix, DType: dtype, Shape: []int64{m.In}})
		}
		expected = append(expected, ckpt.Info{Name: m.Path + countsSuffix, DType: "I64", Shape: []int64{2 * half}})
		if m.Gram == m.Path {
			expected = append(expected, ckpt.Info{Name: m.Path + gramSuffix, DType: "F32", Shape: []int64{m.In, m.In}})
		}
	}
	if err := ckpt.Check(src.Infos(), expected); err != nil {
		return err
	}
	for _, m := range meta.Layers {
		var failed error
		bytes := func(suffix string) []byte {
			_, b, err := src.Bytes(m.Path + suffix)
			failed = errors.Join(failed, err)
			return b
		}
		l := &Layer{
			Path: m.Path, In: m.In, Tokens: m.Tokens, Range: m.Range, Average: m.Average, squares: numbersOf[float64](bytes(squaresSuffix)),
			sizes: numbersOf[float64](bytes(sizesSuffix)), low: numbersOf[float32](bytes(lowSuffix)), high: numbersOf[float32](bytes(highSuffix)),
			Values: Histogram{exp: m.Exp, n: m.N, min: m.Min, max: m.Max, counts: numbersOf[int64](bytes(countsSuffix))},
		}
		if failed != nil {
			return failed
		}
		switch owner := s.byPath[m.Gram]; {
		case m.Gram == m.Path:
			_, data, err := src.Bytes(m.Path + gramSuffix)
			if err != nil {
				return err
			}
			sum, err := tensor.New(gotch.Float, []int64{m.In, m.In}, data)
			if err != nil {
				return err
			}
			l.Gram = &Gram{In: m.In, Rows: m.Rows, sum: sum}
		case m.Gram != "" && (owner == nil || owner.In != m.In || owner.Gram == nil):
			return fmt.Errorf("%s shares what %q does not have", m.Path, m.Gram)
		case m.Gram != "":
			l.Gram = owner.Gram
		}
		s.Layers, s.byPath[m.Path] = append(s.Layers, l), l
	}
	return nil
}
