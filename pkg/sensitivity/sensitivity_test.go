package sensitivity

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func teacher(t testing.TB) (m *talker.Model, source string) {
	t.Helper()
	source = must(demo.TeacherDir())(t)
	m = must(talker.Load(source, talker.Options{}))(t)
	t.Cleanup(m.Close)
	return m, source
}

func utterances(t testing.TB, split demo.Split, n int) data.List {
	t.Helper()
	set := must(demo.New().Set(split, 1, n))(t)
	us := make(data.List, n)
	for i := range us {
		us[i] = must(set.At(i))(t)
	}
	return us
}

// watched are parts of every sort: of the talker, of the code predictor, heads and tables.
var watched = []string{
	"talker.model.layers.1.mlp.down_proj", "talker.codec_head", "talker.code_predictor.model.layers.0.self_attn.o_proj",
	"talker.code_predictor.lm_head.3", "talker.model.codec_embedding",
}

func some(parts []Part) (out []Part) {
	for _, p := range parts {
		if slices.Contains(watched, p.Path) {
			out = append(out, p)
		}
	}
	return out
}

// studied is a study of the demo teacher on few utterances, rounded by GPTQ, which has codes of its own.
func studied(t testing.TB, m *talker.Model, base qat.Config) (*Study, data.List) {
	t.Helper()
	cfg := calib.DefaultConfig()
	cfg.WeightMethod, cfg.MinTokens, cfg.GridPoints = calib.RoundGPTQ, 8, 8
	slots := must(qat.NewPlan(m, base))(t).Slots(m)
	stats := must(calib.Collect(context.Background(), slots, func(yield func(data.List, error) bool) {
		yield(utterances(t, demo.Calibration, 3), nil)
	}, func(p *calib.Pass, us data.List) error {
		b, err := distill.Collate(m.Config, us)
		if err != nil {
			return err
		}
		c := p.Context
		hidden := m.Forward(c, b)
		m.CodecHead.Forward(c, m.Pick(c, hidden, b.TargetRows()))
		codes := c.FromInts(b.FrameCodes(), int64(len(b.Frame)), int64(m.Config.Groups()))
		m.CodeLogits(c, m.Predict(c, m.Pick(c, hidden, b.ConditionRows()), codes))
		return nil
	}, cfg))(t)
	t.Cleanup(stats.Close)
	held := utterances(t, demo.Selection, 2)
	probe := must(distill.NewProbe(context.Background(), m, held, distill.MeasureConfig{Batch: 1, Classes: distill.Full}))(t)
	t.Cleanup(probe.Close)
	return &Study{Teacher: m, Probe: probe, Stats: stats, Quant: base, Calib: cfg}, held
}

// counter counts reports and cancels at one of them.
type counter struct {
	steps, at int64
	cancel    func()
}

func (c *counter) report(Damage) error {
	if c.steps++; c.steps == c.at {
		c.cancel()
	}
	return nil
}

// The damage of a form is that of a student, loaded from the file, which the whole of qat prepared with this form of this part
// alone; the walk leaves the teacher as it was; and one that was interrupted goes on, with the same bytes in the end.
func TestMeasure(t *testing.T) {
	m, source := teacher(t)
	base := qat.DefaultConfig()
	study, held := studied(t, m, base)
	cfg := DefaultConfig()
	cfg.Groups, cfg.TableGroups = []int64{32}, []int64{0}
	inventory := must(NewInventory(m, source, base, cfg))(t)
	parts := some(inventory.Parts)
	if len(parts) != len(watched) {
		t.Fatalf("%d parts of %d", len(parts), len(watched))
	}
	table := NewTable(Origin{Model: "m"})
	all := &counter{}
	if err := study.Measure(context.Background(), parts, table, func() error { return nil }, all.report); err != nil {
		t.Fatal(err)
	}
	done, total := table.Count(parts)
	if n := int64(len(parts) * 2); done != n || total != n || all.steps != n || len(table.Damages) != int(n) {
		t.Errorf("%d measured, %d of %d forms done, %d damages, want %d", all.steps, done, total, len(table.Damages), n)
	}
	for _, p := range parts {
		for _, f := range p.Forms {
			d, ok := table.Find(p, f)
			if !ok || f.Float() && d.Total() != 0 {
				t.Errorf("%s as %s: %v, %v", p.Path, f.Scheme(), ok, d)
			}
			if f.Float() {
				continue
			}
			if want := naive(t, study, source, held, p, f); !slices.Equal(d.KL, want) || d.Total() <= 0 {
				t.Errorf("%s as %s: damage\n%v, one student with it\n%v", p.Path, f.Scheme(), d.KL, want)
			}
		}
	}
	if kl := must(distill.Measure(context.Background(), must(talker.Load(source, talker.Options{}))(t), m, held, distill.DefaultMeasureConfig()))(t).NatsPerFrame(); kl != 0 {
		t.Errorf("the teacher is %g nats from what it was", kl)
	}

	path := filepath.Join(t.TempDir(), "sensitivity.json")
	ctx, cancel := context.WithCancel(context.Background())
	part := NewTable(Origin{Model: "m"})
	save := func() error { return part.Save(path) }
	err := study.Measure(ctx, parts, part, save, (&counter{at: 3, cancel: cancel}).report)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("an interrupted walk gives %v", err)
	}
	part = must(LoadTable(path, Origin{Model: "m"}))(t)
	done, _ = part.Count(parts)
	rest := &counter{}
	if err := study.Measure(context.Background(), parts, part, save, rest.report); err != nil {
		t.Fatal(err)
	}
	if done != 2 || rest.steps != all.steps-2 { // the first part was saved, the second was not whole
		t.Errorf("%d forms were there, %d were measured, want 2 and %d", done, rest.steps, all.steps-2)
	}
	if d := cmp.Diff(table, must(LoadTable(path, Origin{Model: "m"}))(t)); d != "" {
		t.Errorf("(-at once +in two):\n%s", d)
	}
	if _, err := LoadTable(path, Origin{Model: "other"}); err == nil || !strings.Contains(err.Error(), "with another model: m, now other") {
		t.Errorf("error for another model: %v", err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("{"), 3), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadTable(path, Origin{}); err == nil {
		t.Error("no error for a broken file")
	}
}

// Activations with one calibrated scale, asymmetric weights and a damage that is not measured a second time.
func TestMeasureStatic(t *testing.T) {
	m, source := teacher(t)
	base := qat.DefaultConfig()
	base.Weight.Symmetric, base.Activation.Mode = false, quant.StaticTensor
	study, held := studied(t, m, base)
	inventory := must(NewInventory(m, source, base, DefaultConfig()))(t)
	at := slices.IndexFunc(inventory.Parts, func(p Part) bool { return p.Path == "talker.code_predictor.lm_head.3" })
	p := inventory.Parts[at]
	p.Forms = p.Forms[:1]
	table := NewTable(Origin{})
	var last Damage
	report := func(d Damage) error { last = d; return nil }
	for range 2 {
		if err := study.Measure(context.Background(), []Part{p}, table, func() error { return nil }, report); err != nil {
			t.Fatal(err)
		}
	}
	want := naive(t, study, source, held, p, p.Forms[0])
	if len(table.Damages) != 1 || !slices.Equal(last.KL, want) || last.Scheme != "int4 asym g32" || last.Activation != "a8 static tensor" {
		t.Errorf("%d damages, the last %+v, one student with it %v", len(table.Damages), last, want)
	}
	for g, kl := range last.KL {
		if (kl != 0) != (g == 4) {
			t.Errorf("code %d has KL %g from the head of code 4", g, kl)
		}
	}
}

// naive is the KL by codebook of a student of its own.
func naive(t *testing.T, s *Study, source string, held data.List, p Part, f Form) []float64 {
	t.Helper()
	m := must(talker.Load(source, talker.Options{}))(t)
	defer m.Close()
	cfg := s.Quant
	cfg.Include = []string{p.Path}
	if p.Table { // some layer must be prepared: a copy of the float one is put back
		cfg.Include = []string{"talker.codec_head"}
		cfg.Embeddings = qat.EmbeddingConfig{Bits: f.Asked.Bits, GroupSize: f.Asked.GroupSize, Include: []string{p.Path}}
	} else {
		cfg.Weight = f.Asked
	}
	float := m.CodecHead.P
	copied := nn.NewLinear("talker.codec_head", m.CodecHead.In, m.CodecHead.Out, false)
	if p.Table {
		w := must(tensor.Floats(float.(*nn.Linear).W.T))(t)
		err := tensor.Run(func(s *tensor.Scope) error {
			copied.W.T = s.Release(s.FromFloats(w, m.CodecHead.Out, m.CodecHead.In))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	must(qat.Prepare(m, cfg))(t)
	if p.Table {
		nn.Close(m.CodecHead.P)
		m.CodecHead.P = copied
	} else {
		slots := nn.Slots(s.Teacher)
		slot := slots[slices.IndexFunc(slots, func(s *nn.Slot) bool { return s.Path == p.Path })]
		schemes := func(string) (quant.WeightScheme, quant.ActivationScheme) { return f.Asked, cfg.Activation }
		res := must(calib.Fit(s.Stats, []*nn.Slot{slot}, schemes, s.Calib))(t)
		err := errors.Join(qat.SetQParams(m, res.Weights), qat.SetCodes(m, res.Codes))
		if len(res.Inputs) > 0 {
			err = errors.Join(err, qat.SetInputScales(m, res.Inputs))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d := must(distill.Measure(context.Background(), s.Teacher, m, held, distill.MeasureConfig{Batch: 1, Classes: distill.Full}))(t)
	for g := range d.KL {
		d.KL[g] = max(d.KL[g], 0)
	}
	return d.KL
}
