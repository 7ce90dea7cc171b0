package stage_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/export"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/packed"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/stage"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// said are logits of code 0 for a batch of random rows, and of the other codes for random frames after them; and the text track.
func said(t *testing.T, m *talker.Model) (out [][]float32) {
	t.Helper()
	err := nn.Run(func(c *nn.Context) (err error) {
		nn.NoGrad(func() {
			H, G := m.Config.Talker.Hidden, int64(m.Config.Groups())
			noise := func(n int64) []float32 { // the same for every model of this width
				v := make([]float32, n)
				for i := range v {
					v[i] = float32(math.Sin(float64(i*i%1009))) / 2
				}
				return v
			}
			ids := make([]int64, 4*G)
			for i := range ids {
				ids[i] = int64(i*37) % m.Config.Codebook()
			}
			text := m.Text(c, c.FromInts([]int64{5, 9, 200}, 3))
			hidden := m.Hidden(c, c.FromFloats(noise(2*7*H), 2, 7, H), m.ViewOf(c, slices.Repeat([]int64{1}, 14), 2, 7), nil)
			code0 := m.CodecHead.Forward(c, hidden)
			codes := m.CodeLogits(c, m.Predict(c, m.Pick(c, hidden, []int64{2, 3, 9, 13}), c.FromInts(ids, 4, G)))
			for _, x := range []*ts.Tensor{text, code0, codes} {
				v, e := tensor.Floats(x)
				if e != nil {
					err = e
				}
				out = append(out, v)
			}
		})
		return err
	})
	must(t, err)
	return out
}

// off is the largest difference, as a share of the largest number.
func off(a, b []float32) float64 {
	most, size := 0.0, 0.0
	for i := range a {
		most, size = max(most, math.Abs(float64(a[i]-b[i]))), max(size, math.Abs(float64(a[i])))
	}
	if len(a) != len(b) {
		return math.Inf(1)
	}
	return most / size
}

// greedy decodes a few frames of one prompt, with all hidden states.
func greedy(t *testing.T, m *talker.Model, o talker.StepperOptions) (codes [][]int32, hidden []float32) {
	t.Helper()
	voice := talker.Voice{Vector: make([]float32, m.Config.Talker.Hidden)}
	voice.Vector[3] = 0.1
	if len(m.Config.Talker.SpeakerIDs) > 0 {
		voice = talker.Voice{ID: int32(m.Config.Talker.Vocab) - 88}
	}
	p, err := talker.DecodingRows(m.Config, talker.Request{ID: "u", Text: []int32{30, 31, 32, 33, 34}, Voice: &voice})
	must(t, err)
	st, err := m.Steppers(o)
	must(t, err)
	defer st.Close()
	if !o.Library && st.Why != nil {
		t.Fatalf("no native kernels: %v", st.Why)
	}
	s := talker.DefaultSampling()
	s.DoSample, s.SubDoSample, s.MaxNewTokens = false, false, 8
	out, err := m.GenerateWatched(context.Background(), st.Talker, st.Predictor, []talker.Prompt{p}, s, talker.Watch{Hidden: true})
	must(t, err)
	for _, h := range out[0].Hidden {
		hidden = append(hidden, h...)
	}
	return out[0].Codes, hidden
}

func loadFloat(t *testing.T, dir string) *talker.Model {
	t.Helper()
	m, err := talker.Load(dir, talker.Options{DType: gotch.Float})
	must(t, err)
	t.Cleanup(m.Close)
	return m
}

// A rotated talker says what it said: logits of all codes under given ones, and greedy speech, of the library's steppers
// and of native ones, with an adapter and without, with widths 2^k, 12·2^k and others.
func TestRotatedTalker(t *testing.T) {
	teacher, err := demo.TeacherDir()
	must(t, err)
	dirs := []string{teacher}
	for _, name := range []string{"tiny-f32", "tiny-bf16", "tiny-sharded"} {
		dirs = append(dirs, filepath.Join("../talker/testdata", name, "checkpoint"))
	}
	for _, dir := range dirs {
		plain, turned := loadFloat(t, dir), loadFloat(t, dir)
		must(t, calib.Rotate(turned, nn.Slots(turned), 1))
		if n := len(qat.Rotations(turned)); n != 2+len(plain.Decoder.Blocks)+len(plain.Predictor.Decoder.Blocks)+len(plain.Predictor.Heads)+3+adapters(plain) {
			t.Errorf("%s: %d rotations as it runs", dir, n)
		}
		a, b := said(t, plain), said(t, turned)
		for i, what := range []string{"text track", "code 0", "codes 1…"} {
			if d := off(a[i], b[i]); d > 1e-4 {
				t.Errorf("%s: %s is off by %.2g of the largest", dir, what, d)
			}
		}
		codes, hidden := greedy(t, plain, talker.StepperOptions{Library: true})
		for _, library := range []bool{true, false} {
			have, states := greedy(t, turned, talker.StepperOptions{Library: library, Threads: 2})
			if d := off(hidden, states); d > 1e-4 || !reflect.DeepEqual(codes, have) {
				t.Errorf("%s, library %v: states are off by %.2g of the largest, codes equal %v", dir, library, d, reflect.DeepEqual(codes, have))
			}
		}
	}
}

func adapters(m *talker.Model) int {
	if m.Predictor.Adapter == nil {
		return 0
	}
	return 1
}

// A rotated checkpoint is packed and read again to the bit, decodes with kernels for packed weights, of both packages, as without, and is nothing that other
// formats could hold.
func TestRotatedCheckpoint(t *testing.T) {
	source, err := demo.TeacherDir()
	must(t, err)
	m := loadFloat(t, source)
	must(t, calib.Rotate(m, nn.Slots(m), 1))
	cfg := qat.DefaultConfig()
	cfg.Activation = qat.Config{}.Activation
	w8 := quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}
	cfg.Overrides = append(cfg.Overrides, qat.Override{Include: []string{"**.v_proj"}, Weight: &w8})
	_, err = qat.Prepare(m, cfg)
	must(t, err)
	dir := t.TempDir()
	student, folded := filepath.Join(dir, "student"), filepath.Join(dir, "packed")
	must(t, qat.SaveStudent(student, m, qat.SaveOptions{Source: source}))
	want := said(t, m)
	must(t, qat.Convert(m))
	_, err = qat.SaveCheckpoint(folded, m, qat.SaveOptions{Source: source})
	must(t, err)
	codes, hidden := greedy(t, m, talker.StepperOptions{Library: true})
	for _, folder := range []string{student, folded} {
		got, err := talker.Load(folder, talker.Options{Swap: func(m *talker.Model, dir string) error { return qat.FromCheckpoint(m, dir) }})
		must(t, err)
		defer got.Close()
		if !reflect.DeepEqual(said(t, got), want) {
			t.Errorf("%s: other logits after loading", folder)
		}
		d, err := qat.Describe(folder)
		must(t, err)
		if !reflect.DeepEqual(d.Rotations, qat.Rotations(m)) || len(d.Rotations) == 0 {
			t.Errorf("%s: rotations %v, want %v", folder, d.Rotations, qat.Rotations(m))
		}
	}
	var loaded *packed.Loaded
	fast, err := talker.Load(folded, talker.Options{Swap: func(m *talker.Model, dir string) (err error) {
		loaded, err = packed.FromCheckpoint(m, dir, packed.SwapOptions{})
		return err
	}})
	must(t, err)
	defer loaded.Close()
	defer fast.Close()
	have, states := greedy(t, fast, talker.StepperOptions{})
	if d := off(hidden, states); d > 1e-3 || !reflect.DeepEqual(codes, have) || loaded.Swapped == 0 || len(loaded.Left) > 0 {
		t.Errorf("%d packed projections: states are off by %.2g of the largest, codes equal %v", loaded.Swapped, d, reflect.DeepEqual(codes, have))
	}
	for _, format := range export.Formats() {
		if _, err := export.Export(folded, filepath.Join(dir, "out"), export.Options{Format: format}); err == nil || !strings.Contains(err.Error(), "by Hadamard matrices as it runs") {
			t.Errorf("%s: error %v of a rotated model", format, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(folded, "config.json"))
	must(t, err)
	for from, message := range map[string]string{
		`"qakd-hadamard-1"`:          `transform_config of format "other"`,
		`"path": "talker.model",`:    `a rotation of "talker.nothing"`,
		`"block": 256,`:              "in blocks of 20",
		`"path": "talker.codec_head`: `a rotation of "talker.nothing"`,
	} {
		to := map[string]string{`"qakd-hadamard-1"`: `"other"`, `"block": 256,`: `"block": 20,`}[from]
		if to == "" {
			to = strings.NewReplacer("talker.model", "talker.nothing", "talker.codec_head", "talker.nothing").Replace(from)
		}
		spoilt := strings.Replace(string(text), from, to, 1)
		if spoilt == string(text) {
			t.Fatalf("config.json has no %s", from)
		}
		must(t, os.WriteFile(filepath.Join(folded, "config.json"), []byte(spoilt), 0o644))
		fresh, err := talker.New(m.Config)
		must(t, err)
		if err := qat.FromCheckpoint(fresh, folded); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("error %v, want %q", err, message)
		}
	}
}

// With 4-bit activations, rotations keep most of what outliers cost; the rotated student is written, trains and is packed
// like any other, and statistics are not taken for those of another rotation.
func TestRotatedStudent(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	sets := append(slices.Clone(small), "quant.activation.bits=4", "teacher.outliers=30", "calib.rotation=hadamard", "blockwise.epochs=1", "blockwise.optim.lr=1e-5", "calib.weight_method=absmax_half", "eval.utterances=4")
	r, err := open(t, dir, false, sets)
	must(t, err)
	_, err = r.Student()
	must(t, err)
	c, err := r.Compare(context.Background(), []string{"rtn", "rotate"})
	must(t, err)
	t.Logf("KL %.4g by rounding, %.4g rotated", c.Rows[0].KL, c.Rows[1].KL)
	if c.Rows[1].KL > 0.5*c.Rows[0].KL {
		t.Errorf("KL %g rotated, %g by rounding", c.Rows[1].KL, c.Rows[0].KL)
	}
	_, err = r.Calibrate(context.Background())
	must(t, err)
	for folder, has := range map[string]bool{stage.CalibrationDir: false, stage.CalibrationDir + "-rotated": true} {
		text, err := os.ReadFile(filepath.Join(dir, folder, "identity"))
		must(t, err)
		if strings.Contains(string(text), "rotation hadamard, seed 1\n") != has {
			t.Errorf("%s is one of %q", folder, text)
		}
	}
	must(t, r.Blockwise(context.Background()))
	must(t, r.Distill(context.Background()))
	must(t, r.Convert())
	teacher := said(t, r.Teacher)
	for _, entry := range []string{stage.CalibratedDir, stage.BlockwiseDir, stage.DistilledDir, stage.PackedDir} {
		m, err := talker.Load(filepath.Join(dir, entry), talker.Options{Swap: func(m *talker.Model, dir string) error { return qat.FromCheckpoint(m, dir) }})
		must(t, err)
		defer m.Close()
		if m.Decoder.Rotation != (nn.Hadamard{Block: 256, Seed: 1}) || m.Predictor.Decoder.Rotation != (nn.Hadamard{Block: 128, Seed: 1}) {
			t.Errorf("%s: rotations %v and %v", entry, m.Decoder.Rotation, m.Predictor.Decoder.Rotation)
		}
		if d := off(teacher[1], said(t, m)[1]); d > 0.5 {
			t.Errorf("%s: logits are off by %.2g of the largest", entry, d)
		}
	}
}
