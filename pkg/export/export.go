package export

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// Options of Export.
type Options struct {
	Format string // one of Formats
	// WeightsOnly lets formats that hold weights alone take layers whose input is quantized too; whoever loads them
	// computes with float inputs, or as it sees fit. Without it such layers are refused.
	WeightsOnly bool
	// ShardBytes is the most that a safetensors file takes, in bytes; 0 means DefaultShardBytes.
	ShardBytes int64
}

// DefaultShardBytes is 5 GB, as the common loaders' default.
const DefaultShardBytes = 5_000_000_000

// Result says what was written.
type Result struct {
	Format  string         `json:"format"`
	Layers  int            `json:"layers"`  // quantized matrices, embedding tables included
	Weights int64          `json:"weights"` // in them
	Schemes map[string]int `json:"schemes"` // how many matrices have each, by name
	Bytes   int64          `json:"bytes"`   // of the whole folder
	Files   []string       `json:"files"`   // relative, in order
	Notes   []string       `json:"notes"`   // what the format could not hold as it was, and what its loaders have to know
}

func (r *Result) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// writer is a format.
type writer interface {
	// write fills the folder dir.
	write(m *model, dir string, o Options, r *Result) error
	// refusals lists, for each matrix that the format cannot carry, why.
	refusals(m *model, params func(*matrix) (quant.QParams, error)) (map[*matrix]string, error)
}

var formats = map[string]writer{
	"compressed-tensors": compressedTensors,
	"gptq":               gptq(1),
	"gptq-v2":            gptq(2),
	"awq":                awqGEMM,
	"torchao":            torchaoPlain,
	"gguf":               ggufFolder{},
}

// Formats are the names that Export knows.
func Formats() []string { return slices.Sorted(maps.Keys(formats)) }

// Export writes the packed checkpoint in the folder model in another format, as the folder out, which appears complete or
// not at all; an existing one is replaced. Codes and scales are moved, never computed: what the format cannot hold exactly
// is refused, in one error that names every layer and says why.
func Export(model, out string, o Options) (*Result, error) {
	m, kind, err := openModel(model)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	defer m.Close()
	if kind != compressedTensors.name {
		return nil, fmt.Errorf("export: %s is a folder of format %s, want a packed checkpoint; import it first", model, kind)
	}
	return convert(m, out, o)
}

// Import writes a folder that Export has written, in any format, as a packed checkpoint.
func Import(in, out string) (*Result, error) {
	m, _, err := openModel(in)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	defer m.Close()
	r, err := convert(m, out, Options{Format: compressedTensors.name})
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", in, err)
	}
	return r, nil
}

func convert(m *model, out string, o Options) (*Result, error) {
	f, ok := formats[o.Format]
	if !ok {
		return nil, fmt.Errorf("export: unknown format %q, want one of %s", o.Format, strings.Join(Formats(), ", "))
	}
	if o.ShardBytes == 0 {
		o.ShardBytes = DefaultShardBytes
	}
	if err := apart(m.dir, out); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	r := &Result{Format: o.Format, Schemes: map[string]int{}}
	if o.WeightsOnly {
		m.dropActivations(r)
	}
	if err := refuse(m, f, o); err != nil {
		return nil, err
	}
	err := fsx.ReplaceDir(out, func(tmp string) error {
		_, err := fsx.CopyTree(tmp, m.dir, func(rel string, folder bool) bool {
			return !folder && !strings.Contains(rel, "/") && !carried(rel)
		})
		if err != nil {
			return err
		}
		return f.write(m, tmp, o, r)
	})
	if err != nil {
		return nil, fmt.Errorf("export: %s: %w", out, err)
	}
	for _, x := range m.matrices { // after writing, which makes some of them float
		r.Layers++
		r.Weights += x.n * x.k
		r.Schemes[x.scheme.String()]++
	}
	if r.Files, err = listFiles(out); err != nil {
		return nil, err
	}
	r.Bytes, err = fsx.DirSize(out)
	return r, err
}

// apart refuses an output that is the input, or lies within it or around it: it would be replaced while it is read.
func apart(in, out string) error {
	resolve := func(p string) string {
		if q, err := filepath.EvalSymlinks(p); err == nil {
			p = q
		}
		if q, err := filepath.Abs(p); err == nil {
			p = q
		}
		return p + string(filepath.Separator)
	}
	a, b := resolve(in), resolve(out)
	if strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
		return fmt.Errorf("output %s and input %s lie within each other, want two folders", out, in)
	}
	return nil
}

// dropActivations makes the model one of quantized weights and float inputs.
func (m *model) dropActivations(r *Result) {
	n := 0
	for _, x := range m.matrices {
		if x.activation.Mode != quant.ActivationNone {
			x.activation, n = quant.ActivationScheme{}, n+1
		}
	}
	if n > 0 {
		r.note("%d layers were trained with quantized inputs, which are not part of this folder", n)
	}
	m.rest = slices.DeleteFunc(m.rest, func(t ckptTensor) bool {
		path, ok := strings.CutSuffix(t.Name, ".input_scale")
		return ok && m.find(path) != nil
	})
}

// refuse is one error with every matrix that the format cannot carry, by reason.
func refuse(m *model, f writer, o Options) error {
	reasons, err := f.refusals(m, func(x *matrix) (quant.QParams, error) {
		p, err := x.params()
		if err != nil {
			return p, err
		}
		return p, x.onGrid(p)
	})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if len(reasons) == 0 {
		return nil
	}
	e := &RefusedError{Format: o.Format, Of: len(m.matrices), Layers: map[string][]string{}}
	for _, x := range m.matrices {
		if why := reasons[x]; why != "" {
			e.Layers[why] = append(e.Layers[why], x.path)
		}
	}
	return e
}

// RefusedError says what a format cannot carry.
type RefusedError struct {
	Format string
	Of     int                 // layers of the checkpoint
	Layers map[string][]string // paths, by reason
}

// Reasons are why layers are refused, in order.
func (e *RefusedError) Reasons() []string { return sortedKeys(e.Layers) }

// Error is one line with every layer.
func (e *RefusedError) Error() string {
	n := 0
	var text []string
	for _, why := range e.Reasons() {
		n += len(e.Layers[why])
		text = append(text, fmt.Sprintf("%s: %s", why, strings.Join(e.Layers[why], ", ")))
	}
	return fmt.Sprintf("export: format %s cannot carry %d of %d layers: %s", e.Format, n, e.Of, strings.Join(text, "; "))
}

// onGrid refuses scales that fp16 and bf16 do not both hold: other formats want the one or the other.
func (m *matrix) onGrid(p quant.QParams) error {
	for i, s := range p.Scale {
		if !quant.OnGrid(s) {
			return fmt.Errorf("%s: scale [%d, %d] is %v, want one on the grid that fp16 and bf16 hold exactly", m.path, int64(i)/p.Groups, int64(i)%p.Groups, s)
		}
	}
	return nil
}

// openModel reads whatever a folder holds and names its format.
func openModel(dir string) (*model, string, error) {
	st, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, "", err
	case !st.IsDir():
		return nil, "", fmt.Errorf("%s is a file, want a checkpoint folder", dir)
	}
	config, quantization, err := readConfig(dir)
	if err != nil {
		return nil, "", err
	}
	m, name, err := readModel(dir, quantization)
	if err != nil {
		if m != nil {
			err = errors.Join(err, m.Close())
		}
		return nil, "", fmt.Errorf("%s: %w", dir, err)
	}
	m.dir, m.config = dir, config
	slices.SortFunc(m.matrices, func(a, b *matrix) int { return strings.Compare(a.path, b.path) })
	slices.SortFunc(m.rest, func(a, b ckptTensor) int { return strings.Compare(a.Name, b.Name) })
	if len(m.matrices) == 0 {
		return nil, "", errors.Join(fmt.Errorf("%s: nothing in it is quantized", dir), m.Close())
	}
	return m, name, nil
}

func listFiles(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path) // both begin with dir
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	return files, err
}

// kindOf refuses folders that are not quantized in a way that their reader will say less clearly.
func kindOf(dir string) error {
	kind, err := qat.Kind(dir)
	if err != nil {
		return err
	}
	return fmt.Errorf("a %s checkpoint, want a packed one or a folder in one of the formats %s", kind, strings.Join(Formats(), ", "))
}
