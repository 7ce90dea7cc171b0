package speaker

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/internal/testkit"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

func checkpoint(fixture string) string {
	return filepath.Join("../talker/testdata", fixture, "checkpoint")
}

// golden reads a float32 tensor of a golden file.
func golden(t *testing.T, fixture, file, name string) []float32 {
	t.Helper()
	src, err := ckpt.Open(filepath.Join("../talker/testdata", fixture, "golden", file))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	info, data, err := src.Bytes(name)
	if err != nil {
		t.Fatal(err)
	}
	out, err := []float32(nil), error(nil)
	run(t, func(c *nn.Context) {
		out, err = tensor.Floats(c.Must(tensor.New(gotch.Float, info.Shape, data)))
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func run(t testing.TB, f func(c *nn.Context)) {
	t.Helper()
	if err := nn.Run(func(c *nn.Context) error { f(c); return nil }); err != nil {
		t.Fatal(err)
	}
}

func floats(t testing.TB, x *ts.Tensor) []float32 {
	t.Helper()
	v, err := tensor.Floats(x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func load(t testing.TB, fixture string, o Options) *Encoder {
	t.Helper()
	e, err := Load(checkpoint(fixture), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func embed(t testing.TB, e *Encoder, x []float32) []float32 {
	t.Helper()
	v, err := e.Embed(x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// From samples to the vector, for every clip of which the goldens have both.
func TestEmbedsAsTheReference(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-bf16"} {
		e := load(t, fixture, Options{})
		for _, g := range [][3]string{
			{"speaker.safetensors", "wav", "embedding"},
			{"speaker.safetensors", "wav2", "embedding2"},
			{"generate.safetensors", "ref_wav", "xvec_stream.0.speaker_embedding"},
			{"sft.safetensors", "ref_wav", "speaker_embedding"},
		} {
			got, want := embed(t, e, golden(t, fixture, g[0], g[1])), golden(t, fixture, g[0], g[2])
			testkit.Close(t, fixture+" "+g[0]+" "+g[2], got, want[:min(len(want), 64)], 2e-4, 2e-4) // sft has it once per row
		}
	}
}

// In bf16 the direction of the vector stays.
func TestEmbedsInBFloat16(t *testing.T) {
	x := golden(t, "tiny-bf16", "speaker.safetensors", "wav")
	wide, narrow := embed(t, load(t, "tiny-bf16", Options{}), x), embed(t, load(t, "tiny-bf16", Options{DType: gotch.BFloat16}), x)
	dot, a, b := 0.0, 0.0, 0.0
	for i := range wide {
		dot += float64(wide[i] * narrow[i])
		a += float64(wide[i] * wide[i])
		b += float64(narrow[i] * narrow[i])
	}
	if cos := dot / math.Sqrt(a*b); cos < 0.999 || slices.Equal(wide, narrow) {
		t.Errorf("cosine of the bf16 vector with the float32 one: %v", cos)
	}
}

func TestShapes(t *testing.T) {
	for _, cfg := range oddConfigs() {
		e := fresh(t, cfg)
		run(t, func(c *nn.Context) {
			if got := c.Shape(e.Forward(c, c.Randn(3, cfg.MinFrames(), cfg.Mels))); !slices.Equal(got, []int64{3, cfg.Width}) {
				t.Errorf("vectors of shape %v, want [3 %d]", got, cfg.Width)
			}
		})
	}
	e := load(t, "tiny-f32", Options{})
	for _, n := range []int64{385, 511, 512, 1280, 14401} {
		run(t, func(c *nn.Context) {
			if got := c.Shape(e.Mel.Forward(c, c.Randn(2, n))); !slices.Equal(got, []int64{2, n / 256, 128}) {
				t.Errorf("%d samples give a spectrogram of shape %v", n, got)
			}
		})
	}
}

// The clips of a batch do not see each other.
func TestBatchEqualsSingles(t *testing.T) {
	e := fresh(t, oddConfigs()[0])
	run(t, func(c *nn.Context) {
		mel := c.Randn(3, 21, e.Config.Mels)
		all := e.Forward(c, mel)
		for b := range int64(3) {
			testkit.Close(t, "row", floats(t, c.Select(all, 0, b)), floats(t, c.Select(e.Forward(c, c.Narrow(mel, 0, b, 1)), 0, 0)), 1e-5, 1e-5)
		}
	})
}

func BenchmarkEmbedPublishedSize(b *testing.B) {
	e := fresh(b, DefaultConfig())
	x := make([]float32, 3*Rate)
	for i := range x {
		x[i] = float32(math.Sin(float64(i*i) / 1e6))
	}
	for b.Loop() {
		embed(b, e, x)
	}
	b.ReportMetric(3*float64(b.N)/b.Elapsed().Seconds(), "s_audio/s")
}
