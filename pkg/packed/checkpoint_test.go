package packed

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
)

// stored are the layers of a checkpoint: a and b are pkg/int4's, the others pkg/int8's but for f, whose input scale is none.
var stored = []struct {
	path    string
	out, in int64
	w       quant.WeightScheme
	a       quant.ActivationScheme
}{
	{"a", 40, 128, quant.DefaultWeightScheme(), quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}},
	{"b", 17, 256, quant.WeightScheme{Bits: 4, Granularity: quant.PerGroup, GroupSize: 128}, quant.ActivationScheme{Bits: 4, Mode: quant.StaticTensor}},
	{"c", 16, 64, quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}, quant.ActivationScheme{}},
	{"d", 8, 64, quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 64}, quant.ActivationScheme{Bits: 4, Mode: quant.DynamicToken}},
	{"e", 9, 30, quant.WeightScheme{Bits: 8, Granularity: quant.PerTensor}, quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}},
	{"f", 8, 64, quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}, quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}},
}

// checkpoint writes them.
func checkpoint(t *testing.T, dir string) {
	t.Helper()
	slots := declared()
	if err := nn.Init(slots, 1, 0.05); err != nil {
		t.Fatal(err)
	}
	var layers []*qat.Linear
	for i, l := range stored {
		cfg := qat.DefaultConfig()
		cfg.Weight, cfg.Activation = l.w, l.a
		q, err := qat.FromFloat(l.path, slots[i].P.(*nn.Linear), cfg)
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, q)
	}
	all := qat.NewLayers(layers...)
	defer nn.Close(all)
	if err := qat.SetInputScales(all, map[string]float32{"b": 0.25, "e": 1. / 32, "f": 1. / 32}); err != nil {
		t.Fatal(err)
	}
	if _, err := qat.SaveLayers(dir, all); err != nil {
		t.Fatal(err)
	}
	overwrite(t, dir, "f.input_scale", []byte{0, 0x30}) // bf16 4.7e-10
}

// overwrite puts other bytes into a tensor, behind everybody's back.
func overwrite(t *testing.T, dir, name string, value []byte) {
	t.Helper()
	path := filepath.Join(dir, "model.safetensors")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var offsets map[string]struct{ Data_offsets [2]int64 }
	n := int64(binary.LittleEndian.Uint64(data))
	_ = json.Unmarshal(data[8:8+n], &offsets) // what is no tensor does not matter
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := offsets[name].Data_offsets
	if at[1]-at[0] < int64(len(value)) {
		t.Fatalf("%s has %d bytes", name, at[1]-at[0])
	}
	if _, err := f.WriteAt(value, 8+n+at[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// declared are the slots of these layers, without values.
func declared() (l qat.Layers) {
	for _, s := range stored {
		l = append(l, nn.NewSlot(s.path, s.in, s.out, false))
	}
	return l
}

func fill(t *testing.T, m nn.Module, dir string) {
	t.Helper()
	src, err := ckpt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if err := nn.Load(m, src, nn.LoadOptions{DType: gotch.Float, Device: gotch.CPU, Mapped: true}); err != nil {
		t.Fatal(err)
	}
}

func results(t *testing.T, m nn.Module) map[string][]float32 {
	t.Helper()
	out := map[string][]float32{}
	err := nn.Run(func(c *nn.Context) error {
		for _, s := range nn.Slots(m) {
			random, x := rng.New(1, s.Path), make([]float32, 3*s.In)
			for i := range x {
				x[i] = float32(random.NormFloat64())
			}
			y, err := tensor.Floats(s.Forward(c, c.FromFloats(x, 3, s.In)))
			if err != nil {
				return err
			}
			out[s.Path] = y
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestFromCheckpoint: a model with kernels computes what the packed one computes; with matrices of the file it does so
// without the codes of the checkpoint: they may be lost.
func TestFromCheckpoint(t *testing.T) {
	dir := t.TempDir()
	checkpoint(t, dir)
	slow := declared()
	if err := qat.FromCheckpoint(slow, dir); err != nil {
		t.Fatal(err)
	}
	fill(t, slow, dir)
	defer nn.Close(slow)
	want := results(t, slow)
	made, err := int4.Cached(dir)
	if err != nil {
		t.Fatal(err)
	}
	made.Close()

	overwrite(t, dir, "a.weight_packed", make([]byte, 40*128/2))

	m := declared()
	l, err := FromCheckpoint(m, dir, SwapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fill(t, m, dir)
	if l.Swapped != 5 || len(l.Left) != 1 || l.Left[0].Path != "f" || !strings.Contains(l.Left[0].Why.Error(), "is not on the scale grid") {
		t.Errorf("%d swapped, left %v; want 5 and f", l.Swapped, l.Left)
	}
	for path, y := range results(t, m) {
		for i := range y {
			if d := float64(y[i] - want[path][i]); d > 1e-4 || d < -1e-4 {
				t.Fatalf("%s: output %d is %v, dequantized %v", path, i, y[i], want[path][i])
			}
		}
	}
	if _, ok := m[5].P.(*qat.Packed); !ok {
		t.Errorf("f is a %T, want the packed form", m[5].P)
	}
	for i, s := range m[:5] {
		if _, ok := s.P.(*Linear).W.(*int4.Matrix); ok != (i < 2) {
			t.Errorf("%s has a %T", s.Path, s.P.(*Linear).W)
		}
	}
	if err := l.File.VerifySource(dir); err == nil {
		t.Error("the lost codes were not noticed")
	}
}
