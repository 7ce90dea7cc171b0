package nn_test

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// params is a module of bare parameters.
type params []*nn.Param

func (l params) Visit(v nn.Visitor) {
	for _, p := range l {
		p.Visit(v)
	}
}

// TestLoadMapped: what keeps the file's dtype is a view that nothing was read for (a NaN goes unnoticed), the rest is
// converted; a parameter held elsewhere must be in the file and gets no value.
func TestLoadMapped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	nan := math.Float32bits(float32(math.NaN()))
	word := func(u uint32) []byte { return []byte{byte(u), byte(u >> 8), byte(u >> 16), byte(u >> 24)} }
	err := ckpt.Write(path, []ckpt.Tensor{
		{Name: "f", DType: "F32", Shape: []int64{2}, Data: append(word(math.Float32bits(2.5)), word(nan)...)},
		{Name: "b", DType: "BF16", Shape: []int64{1, 3}, Data: []byte{0x80, 0x3f, 0, 0x40, 0x40, 0x40}},
		{Name: "i", DType: "I32", Shape: []int64{1}, Data: word(7)},
		{Name: "scalar", DType: "F32", Data: word(math.Float32bits(9))},
		{Name: "away", DType: "I32", Shape: []int64{1}, Data: word(1)},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	declare := func() params {
		m := params{nn.NewParam("f", nn.Zeros, 2), nn.NewParam("b", nn.Zeros, 1, 3), nn.NewParam("i", nn.Zeros, 1),
			nn.NewParam("scalar", nn.Zeros), nn.NewParam("away", nn.Zeros, 1)}
		m[2].DType, m[4].DType, m[4].Outside = "I32", "I32", true
		return m
	}
	src, err := ckpt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	opt := nn.LoadOptions{DType: gotch.Float, Device: gotch.CPU}
	if err := nn.Load(declare(), src, opt); err == nil || !strings.Contains(err.Error(), `"f": element 1 is NaN`) {
		t.Errorf("read: error %v, want the NaN of f", err)
	}
	m := declare()
	opt.Mapped = true
	if err := nn.Load(m, src, opt); err != nil {
		t.Fatal(err)
	}
	if err := src.Close(); err != nil { // views outlive the source
		t.Fatal(err)
	}
	defer nn.Close(m)
	if v, err := tensor.Floats(m[0].T); err != nil || v[0] != 2.5 || v[1] == v[1] {
		t.Errorf("f is %v, %v; want 2.5 and NaN", v, err)
	}
	if v, err := tensor.Floats(m[1].T); err != nil || m[1].T.DType() != gotch.Float || !slices.Equal(v, []float32{1, 2, 3}) {
		t.Errorf("b is %v, %v; want 1 2 3 in float32", v, err)
	}
	if v, err := tensor.Ints(m[2].T); err != nil || !slices.Equal(v, []int64{7}) {
		t.Errorf("i is %v, %v; want 7", v, err)
	}
	if v, err := tensor.Scalar(m[3].T); err != nil || v != 9 {
		t.Errorf("scalar is %v, %v; want 9", v, err)
	}
	if m[4].T != nil {
		t.Error("the parameter that is held elsewhere has a value")
	}
	m = declare()
	m[4].Name = "lost"
	if src, err = ckpt.Open(path); err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if err := nn.Load(m, src, opt); err == nil || !strings.Contains(err.Error(), "missing lost [1]") {
		t.Errorf("error %v, want the missing one", err)
	}
}
