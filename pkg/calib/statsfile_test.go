package calib_test

import (
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
)

// What statistics say after a file is what they said before, fits included; a file of something else is refused.
func TestStatisticsFile(t *testing.T) {
	m := load(t)
	cfg := config()
	cfg.WeightMethod = calib.RoundGPTQ
	s := collect(t, m, cfg, inputs(21, 2, 40), inputs(22, 2, 40))
	defer s.Close()
	path, from := filepath.Join(t.TempDir(), "statistics.safetensors"), calib.Origin{Model: "m", Data: "d"}
	if err := s.Save(path, from, cfg); err != nil {
		t.Fatal(err)
	}
	loaded, err := calib.LoadStatistics(path, from, nn.Slots(m), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	if a, b := fit(t, m, s, w4a4, cfg), fit(t, m, loaded, w4a4, cfg); !reflect.DeepEqual(a, b) {
		t.Error("another fit from the file")
	}
	slots := nn.Slots(m)
	other := cfg
	other.AveragingConstant = 0.5
	turned := cfg
	turned.Rotation, turned.RotationSeed = calib.RotateHadamard, 3
	for want, load := range map[string]func() error{
		"made from model m, want x": func() error {
			_, err := calib.LoadStatistics(path, calib.Origin{Model: "x", Data: "d"}, slots, cfg)
			return err
		},
		"3 layers, want 2": func() error { _, err := calib.LoadStatistics(path, from, slots[:2], cfg); return err },
		"layer 0 is model.mlp.gate_proj of width 64, want model.mlp.up_proj of width 64": func() error {
			_, err := calib.LoadStatistics(path, from, []*nn.Slot{slots[1], slots[0], slots[2]}, cfg)
			return err
		},
		`those of rotation "", want "hadamard, seed 3"`: func() error { _, err := calib.LoadStatistics(path, from, slots, turned); return err },
		"averaging_constant 0.1, want 0.5":              func() error { _, err := calib.LoadStatistics(path, from, slots, other); return err },
	} {
		if err := load(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want one with the path and %q", err, want)
		}
	}
	plain := collect(t, m, config(), inputs(21, 2, 40))
	if err := plain.Save(path, from, config()); err != nil {
		t.Fatal(err)
	}
	if _, err := calib.LoadStatistics(path, from, slots, cfg); err == nil || !strings.Contains(err.Error(), "do not tell how channels go together") {
		t.Errorf("error %v of statistics without Gram matrices", err)
	}
}

// A singular Hessian is an error that names the layer and the remedy; with damping it is none.
func TestSingularHessianNamesTheLayer(t *testing.T) {
	m := load(t)
	cfg := config()
	cfg.WeightMethod, cfg.GPTQ.Damp = calib.RoundGPTQ, 1e-30
	s := collect(t, m, cfg, inputs(23, 1, 3)) // fewer rows than channels
	defer s.Close()
	_, err := calib.Fit(s, nn.Slots(m), w4a4, cfg)
	if err == nil || !strings.Contains(err.Error(), "calib: model.mlp.gate_proj: its Hessian is not positive definite with gptq.damp = 1e-30: raise it, or calibrate on more data") {
		t.Errorf("error %v", err)
	}
	cfg.GPTQ.Damp = 0.01
	fit(t, m, s, w4a4, cfg)
}

// AWQ's and SmoothQuant's scales lose less of the output than rounding where a few channels are far larger. They are those of
// naive loops, but for the bfloat16 numbers that the gain is divided into.
func TestOutlierChannels(t *testing.T) {
	m := load(t)
	norm := nn.NewRMSNorm("model.norm", width, 1e-6)
	if err := nn.Init(norm, 1, 1); err != nil {
		t.Fatal(err)
	}
	defer nn.Close(norm)
	batch := inputs(24, 4, 50)
	for row := range 200 {
		batch.x[row*width+7] *= 30
		batch.x[row*width+40] *= 30
	}
	seen := config()
	seen.Fold = calib.FoldAWQ
	s := collect(t, m, seen, batch)
	defer s.Close()
	fold := calib.Fold{Path: "model.norm", Gain: norm.W, Readers: m.GateUp}
	naive := map[string][]float64{"awq-scale": naiveAWQ(t, m, batch.x), "smoothquant": naiveSmoothQuant(t, m, batch.x)}
	output := func(name string) (sum float64) {
		cfg, err := calib.Preset(seen, name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := calib.Fit(s, nn.Slots(m), asymmetric, cfg, fold)
		if err != nil {
			t.Fatal(err)
		}
		if scale := r.Folds["model.norm"]; (scale == nil) != (cfg.Fold == calib.FoldNone) {
			t.Errorf("%s: scales %v", name, scale)
		}
		for k, want := range naive[name] {
			if got := float64(r.Folds["model.norm"][k]); math.Abs(got-want) > 0x1p-8*want {
				t.Errorf("%s: scale %d is %v, want %v", name, k, got, want)
			}
		}
		for _, row := range r.Report.Rows[:2] {
			sum += row.Output / 2
			if math.Abs(row.Output-row.Damage()) > 0 {
				t.Errorf("%s: damage %v, output %v", name, row.Damage(), row.Output)
			}
		}
		return sum
	}
	rtn, awq, smooth := output("rtn"), output("awq-scale"), output("smoothquant")
	t.Logf("outputs: rounded %.2f dB, awq %.2f dB, smoothquant %.2f dB", rtn, awq, smooth)
	if awq < rtn+1 || smooth < rtn+1 {
		t.Errorf("outputs: awq %.2f dB, smoothquant %.2f dB, rounded to nearest %.2f dB", awq, smooth, rtn)
	}
	cfg := seen
	cfg.Fold = calib.FoldSmoothQuant
	if _, err := calib.Fit(s, nn.Slots(m), asymmetric, cfg); err == nil || !strings.Contains(err.Error(), "no place for scales is known") {
		t.Errorf("error %v without folds", err)
	}
	if _, err := calib.Fit(s, nn.Slots(m), w4a4, cfg, fold); err == nil || !strings.Contains(err.Error(), `static activations and observer "mse": only ranges are known of rescaled channels`) {
		t.Errorf("error %v of static activations", err)
	}
}

func gateUp(t *testing.T, m *nn.MLP) (out [][]float32) {
	for _, s := range m.GateUp {
		w, err := tensor.Floats(s.P.(*nn.Linear).W.T)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, w)
	}
	return out
}

// naiveSmoothQuant is max |x_k|^½ / max |w_k|^½.
func naiveSmoothQuant(t *testing.T, m *nn.MLP, x []float32) []float64 {
	scale := make([]float64, width)
	for k := range scale {
		var a, b float64
		for i := k; i < len(x); i += width {
			a = max(a, math.Abs(float64(x[i])))
		}
		for _, w := range gateUp(t, m) {
			for i := k; i < len(w); i += width {
				b = max(b, math.Abs(float64(w[i])))
			}
		}
		scale[k] = math.Sqrt(a / b)
	}
	return scale
}

// naiveAWQ tries the exponents and measures what all outputs lose.
func naiveAWQ(t *testing.T, m *nn.MLP, x []float32) (best []float64) {
	size, cfg, least := make([]float64, width), calib.DefaultConfig(), math.Inf(1)
	for i, v := range x {
		size[i%width] += math.Abs(float64(v)) / float64(len(x)/width)
	}
	for step := range cfg.FoldPoints {
		scale := make([]float64, width)
		for k, v := range size {
			scale[k] = math.Pow(v, float64(step)/float64(cfg.FoldPoints))
		}
		mean := math.Sqrt(slices.Max(scale) * slices.Min(scale))
		for k := range scale {
			scale[k] /= mean
		}
		var loss float64
		for _, w := range gateUp(t, m) {
			scaled := make([]float32, len(w))
			for i := range w {
				scaled[i] = w[i] * float32(scale[i%width])
			}
			sch, _ := asymmetric("")
			p, err := quant.InitQParams(scaled, inner, width, sch, quant.MinMax)
			if err != nil {
				t.Fatal(err)
			}
			y, err := quant.FakeQuantize(scaled, inner, width, p, sch)
			if err != nil {
				t.Fatal(err)
			}
			for row := 0; row < len(x); row += width {
				for o := 0; o < len(w); o += width {
					var d float64
					for k := range width {
						d += (float64(y[o+k])/scale[k] - float64(w[o+k])) * float64(x[row+k])
					}
					loss += d * d
				}
			}
		}
		if loss < least {
			best, least = scale, loss
		}
	}
	return best
}
