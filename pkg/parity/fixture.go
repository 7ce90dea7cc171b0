package parity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// fixture is an opened folder.
type fixture struct {
	dir     string
	tensors []entry
	values  map[[2]string]golden // by file and name
	modes   modes
	there   map[string]bool // files of the manifest that the folder has
	norms   map[string]map[string]*float64
	sources []ckpt.Source
}

// entry is one tensor of the manifest.
type entry struct {
	File      string    `json:"file"`
	Name      string    `json:"name"`
	Shape     []int64   `json:"shape"`
	Meaning   string    `json:"meaning"`
	Tolerance tolerance `json:"tolerance"`
	Compare   string    `json:"compare"`
}

// tolerance is "exact" (both zero), or two numbers.
type tolerance struct {
	Exact      bool    `json:"-"`
	ATol, RTol float64 `json:"-"`
}

// UnmarshalJSON reads "exact" or {"atol": a, "rtol": r}.
func (t *tolerance) UnmarshalJSON(b []byte) error {
	if string(b) == `"exact"` {
		t.Exact = true
		return nil
	}
	var v struct{ ATol, RTol *float64 }
	if err := json.Unmarshal(b, &v); err != nil || v.ATol == nil || v.RTol == nil {
		return fmt.Errorf(`tolerance %s, want "exact" or an object with atol and rtol`, b)
	}
	t.ATol, t.RTol = *v.ATol, *v.RTol
	return nil
}

// golden is the bytes of one tensor.
type golden struct {
	info ckpt.Info
	data []byte
}

// openFixture reads the manifest and the files that it names.
func openFixture(dir string) (*fixture, error) {
	f := &fixture{dir: dir, values: make(map[[2]string]golden), there: make(map[string]bool)}
	var manifest struct {
		Tensors  []entry `json:"tensors"`
		Sections struct {
			Generate modes `json:"generate"`
		} `json:"sections"`
	}
	if err := readJSON(f.path("manifest.json"), &manifest); err != nil {
		return nil, err
	}
	f.modes = manifest.Sections.Generate
	if f.tensors = manifest.Tensors; len(f.tensors) == 0 {
		return nil, fmt.Errorf("parity: %s: no tensors, want a list of goldens", f.path("manifest.json"))
	}
	if err := readJSON(f.path("grad_norms.json"), &f.norms); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	open := make(map[string]bool)
	for _, e := range f.tensors {
		if open[e.File] {
			continue
		}
		open[e.File] = true
		if err := f.read(e.File); err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

// read opens a golden file, unless the folder lacks it: not every fixture has all.
func (f *fixture) read(file string) error {
	path := f.path(file)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	src, err := ckpt.Open(path)
	if err != nil {
		return fmt.Errorf("parity: %w", err)
	}
	f.sources, f.there[file] = append(f.sources, src), true
	for _, info := range src.Infos() {
		info, data, err := src.Bytes(info.Name)
		if err != nil {
			return fmt.Errorf("parity: %w", err)
		}
		f.values[[2]string{file, info.Name}] = golden{info, data}
	}
	return nil
}

func (f *fixture) close() {
	for _, s := range f.sources {
		s.Close()
	}
}

func (f *fixture) path(name string) string { return filepath.Join(f.dir, "golden", name) }

func (f *fixture) checkpoint() string { return filepath.Join(f.dir, "checkpoint") }

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("parity: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("parity: %s: %w", path, err)
	}
	return nil
}

// tensor is a golden as a tensor that the caller owns.
func (g golden) tensor() (*ts.Tensor, error) {
	dtype, err := nn.DTypeOf(g.info.DType)
	if err != nil {
		return nil, err
	}
	return tensor.New(dtype, g.info.Shape, g.data)
}

// floats are a golden's values, widened to float64.
func (g golden) floats() (out []float64, err error) {
	err = tensor.Run(func(s *tensor.Scope) error {
		t, err := g.tensor()
		if err != nil {
			return err
		}
		out, err = doubles(s.Own(t))
		return err
	})
	return out, err
}

// ints are a golden's integers.
func (g golden) ints() (out []int64, err error) {
	err = tensor.Run(func(s *tensor.Scope) error {
		t, err := g.tensor()
		if err != nil {
			return err
		}
		out, err = tensor.Ints(s.Own(t))
		return err
	})
	return out, err
}

func doubles(t *ts.Tensor) ([]float64, error) {
	switch t.DType() {
	case gotch.Int64, gotch.Int, gotch.Int16, gotch.Int8, gotch.Uint8, gotch.Bool:
		v, err := tensor.Ints(t)
		return widen(v), err
	}
	v, err := tensor.Floats(t)
	return widen(v), err
}

func widen[E int64 | float32](v []E) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
