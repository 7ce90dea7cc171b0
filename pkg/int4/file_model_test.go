package int4

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/sugarme/gotch"
)

// declared are the slots of checkpoint's layers, without values.
func declared() qat.Layers {
	return qat.Layers{nn.NewSlot("a", 128, 40, false), nn.NewSlot("b", 256, 17, false), nn.NewSlot("c", 64, 16, false), nn.NewSlot("d", 64, 8, false)}
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

// TestFromCheckpoint: a model with the file's matrices computes what the packed one computes, and does so without the
// codes of the checkpoint: they may be lost.
func TestFromCheckpoint(t *testing.T) {
	dir := t.TempDir()
	checkpoint(t, dir, 1)
	slow := declared()
	if err := qat.FromCheckpoint(slow, dir); err != nil {
		t.Fatal(err)
	}
	fill(t, slow, dir)
	defer nn.Close(slow)
	want := results(t, slow)
	open(t, dir)

	weights := filepath.Join(dir, "model.safetensors")
	info, err := os.Stat(weights)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(weights)
	src, err := ckpt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, words, err := src.Bytes("a.weight_packed")
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, words)
	src.Close()
	f, err := os.OpenFile(weights, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 40*128/2), int64(at)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Chtimes(weights, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}

	m := declared()
	l, err := FromCheckpoint(m, dir, SwapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fill(t, m, dir)
	if l.Swapped != 3 || len(l.Left) != 1 || l.Left[0].Path != "d" {
		t.Errorf("%d swapped, left %v; want 3 and d", l.Swapped, l.Left)
	}
	for path, y := range results(t, m) {
		for i := range y {
			if d := float64(y[i] - want[path][i]); d > 1e-4 || d < -1e-4 {
				t.Fatalf("%s: output %d is %v, dequantized %v", path, i, y[i], want[path][i])
			}
		}
	}
	if _, ok := m[3].P.(*qat.Packed); !ok {
		t.Errorf("d is a %T, want the packed form", m[3].P)
	}
	if err := l.File.VerifySource(dir); err == nil {
		t.Error("the lost codes were not noticed")
	}
}
