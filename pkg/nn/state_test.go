package nn

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/sugarme/gotch"
)

func small() *MLP { return NewMLP("m.mlp", 4, 6) }

// saved writes an initialized module to a file.
func saved(t *testing.T, m Module, dtype string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := Save(path, m, dtype, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	return path
}

func loadFile(t *testing.T, m Module, path string, o LoadOptions) error {
	t.Helper()
	src, err := ckpt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	return Load(m, src, o)
}

func TestSaveLoad(t *testing.T) {
	a, b := small(), small()
	initialized(t, a)
	for dtype, tol := range map[string]float64{"": 0, "BF16": 1.0 / 256} {
		if err := loadFile(t, b, saved(t, a, dtype), LoadOptions{DType: gotch.Float, Device: gotch.CPU}); err != nil {
			t.Fatal(err)
		}
		for i, p := range Params(b) {
			if p.T.DType() != gotch.Float {
				t.Errorf("%s loads as %v, want Float", p.Name, p.T.DType())
			}
			wantClose(t, p.Name, floats(t, p.T), wide(floats(t, Params(a)[i].T)), tol)
		}
	}
	Close(b)
}

// One error lists what is missing, unexpected and mis-shaped, and the module keeps what it had.
func TestLoadIsStrict(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	zeros := func(name string, shape ...int64) ckpt.Tensor {
		n := int64(4)
		for _, d := range shape {
			n *= d
		}
		return ckpt.Tensor{Name: name, DType: "F32", Shape: shape, Data: make([]byte, n)}
	}
	err := ckpt.Write(path, []ckpt.Tensor{zeros("m.mlp.gate_proj.weight", 6, 4), zeros("m.mlp.down_proj.weight", 6, 4), zeros("m.mlp.extra", 1),
		zeros("other.weight", 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := small()
	initialized(t, m)
	before := floats(t, m.GateUp[0].P.(*Linear).W.T)
	err = loadFile(t, m, path, LoadOptions{DType: gotch.Float, Device: gotch.CPU,
		Ignore: func(name string) bool { return strings.HasPrefix(name, "other.") }})
	var e *ckpt.MismatchError
	if !errors.As(err, &e) || len(e.Missing) != 1 || len(e.Unexpected) != 1 || len(e.Misshaped) != 1 {
		t.Fatalf("error %v, want one missing, one unexpected, one mis-shaped", err)
	}
	for _, want := range []string{"m.mlp.up_proj.weight", "m.mlp.extra", "m.mlp.down_proj.weight: shape [6 4], want [4 6]"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
	if !slices.Equal(floats(t, m.GateUp[0].P.(*Linear).W.T), before) {
		t.Error("a failed load changed the module")
	}
}

func TestLoadRefusesNaN(t *testing.T) {
	for name, bad := range map[string]float32{"NaN": float32(math.NaN()), "infinity": float32(math.Inf(-1))} {
		m := small()
		initialized(t, m)
		run(t, func(c *Context) {
			v := make([]float32, 24)
			v[17] = bad
			m.Down.P.(*Linear).W.Set(c.Release(c.FromFloats(v, 4, 6)))
		})
		err := loadFile(t, small(), saved(t, m, ""), LoadOptions{DType: gotch.Float, Device: gotch.CPU})
		if err == nil || !strings.Contains(err.Error(), `"m.mlp.down_proj.weight"`) || !strings.Contains(err.Error(), "NaN or infinite") {
			t.Errorf("%s: error %v, want the tensor's name", name, err)
		}
	}
}

func TestCopyAndSaveNeedValues(t *testing.T) {
	if err := Save(filepath.Join(t.TempDir(), "m.safetensors"), small(), "", nil); err == nil || !strings.Contains(err.Error(), "gate_proj") {
		t.Errorf("error %v, want the parameter without a value", err)
	}
	a, b := small(), small()
	if err := Copy(a, b, gotch.Float); err == nil || !strings.Contains(err.Error(), "gate_proj") {
		t.Errorf("error %v, want the parameter without a value", err)
	}
	initialized(t, b)
	if err := Copy(a, b, gotch.BFloat16); err != nil {
		t.Fatal(err)
	}
	if d := a.Down.P.(*Linear).W.T.DType(); d != gotch.BFloat16 {
		t.Errorf("copy has dtype %v, want BFloat16", d)
	}
	Close(a)
}
