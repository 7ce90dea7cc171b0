package qat_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

const width, inner, classes = 96, 64, 10

// toy is a small model with everything that a checkpoint has: a norm, a group of projections of one input, a biased
// projection whose width 64 and rows 10 need padding somewhere.
type toy struct {
	norm *nn.RMSNorm
	mlp  *nn.MLP
	head *nn.Slot
}

func newToy() *toy {
	return &toy{nn.NewRMSNorm("model.norm", width, 1e-6), nn.NewMLP("model.mlp", width, inner), nn.NewSlot("model.head", width, classes, true)}
}

func (m *toy) Visit(v nn.Visitor) {
	m.norm.Visit(v)
	m.mlp.Visit(v)
	m.head.Visit(v)
}

func (m *toy) forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	return m.head.Forward(c, c.Add(x, m.mlp.Forward(c, m.norm.Forward(c, x))))
}

// logits of a fixed batch, without recording.
func logits(t *testing.T, m *toy) []float32 {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	x := make([]float32, 3*4*width)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	var y []float32
	run(t, func(c *nn.Context) (err error) {
		nn.NoGrad(func() { y, err = tensor.Floats(m.forward(c, c.FromFloats(x, 3, 4, width))) })
		return err
	})
	return y
}

func run(t *testing.T, f func(c *nn.Context) error) {
	t.Helper()
	if err := nn.Run(f); err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func sameBits(t *testing.T, what string, a, b []float32) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%s: %d and %d values", what, len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			t.Fatalf("%s: value %d is %v and %v", what, i, a[i], b[i])
		}
	}
}

// teacher writes a bf16 checkpoint folder of a toy. extra are more files, by relative path.
func teacher(t *testing.T, extra map[string]string, tensors ...ckpt.Tensor) string {
	t.Helper()
	m := newToy()
	if err := nn.Init(m, 1, 0.2); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	own := must(nn.Tensors(m, "BF16"))(t)
	if err := ckpt.Write(filepath.Join(dir, "model.safetensors"), append(own, tensors...), nil); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"config.json": `{"model_type": "toy", "eps": 1e-06, "id": 12345678901234567}`}
	for k, v := range extra {
		files[k] = v
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load reads any of the three kinds of folder.
func load(dir string) (*toy, error) {
	m := newToy()
	if err := qat.FromCheckpoint(m, dir); err != nil {
		return nil, err
	}
	src, err := ckpt.Open(dir)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return m, nn.Load(m, src, nn.LoadOptions{DType: gotch.Float, Device: gotch.CPU, Ignore: func(n string) bool {
		return len(n) > 16 && n[:16] == "speaker_encoder."
	}})
}

// variants are all combinations of scheme and activations that a layer may have.
func variants() (list []qat.Config) {
	for _, bits := range []int{4, 8} {
		for _, symmetric := range []bool{true, false} {
			for _, g := range []quant.Granularity{quant.PerTensor, quant.PerChannel, quant.PerGroup} {
				for _, a := range []quant.ActivationScheme{{}, {Bits: 8, Mode: quant.DynamicToken}, {Bits: 4, Mode: quant.StaticTensor}} {
					c := qat.DefaultConfig()
					c.Weight = quant.WeightScheme{Bits: bits, Symmetric: symmetric, Granularity: g}
					if g == quant.PerGroup {
						c.Weight.GroupSize = 64 // 96 takes 48, 64 takes 64
					}
					c.Activation = a
					list = append(list, c)
				}
			}
		}
	}
	return list
}

func name(c qat.Config) string { return fmt.Sprintf("%v, %v", c.Weight, c.Activation) }

// prepared is a loaded teacher, prepared, calibrated where need be, with masters moved off their start.
func prepared(t *testing.T, dir string, c qat.Config) *toy {
	t.Helper()
	m := must(load(dir))(t)
	must(qat.Prepare(m, c))(t)
	if c.Activation.Mode == quant.StaticTensor {
		scales := map[string]float32{}
		for _, s := range nn.Slots(m) {
			scales[s.Path] = 0.3
		}
		if err := qat.SetInputScales(m, scales); err != nil {
			t.Fatal(err)
		}
	}
	tensor.Seed(7)
	for _, p := range nn.Params(m) { // as after training: scales off the grid, zero points not whole, some weights outside
		if p.DType != "F32" { // not a master
			continue
		}
		run(t, func(c *nn.Context) error {
			noise := c.MulScalar(c.Randn(p.Shape...), 0.1)
			x := c.Add(c.Detach(p.T), c.Mul(c.Detach(p.T), noise))
			p.Set(c.Release(x))
			return tensor.RequireGrad(p.T, !p.Frozen)
		})
	}
	return m
}
