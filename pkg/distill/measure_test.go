package distill_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
)

// TestMeasure holds the streamed sums against loops over utterances that ran alone, for several cuts.
func TestMeasure(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	us := utterances(7)
	var s sums
	kl, same := make([]float64, 4), make([]float64, 4)
	var ends []distill.EndRow
	for _, u := range us {
		a, b := alone(t, teacher, u), alone(t, student, u)
		s.add(a, b, 1, []float64{1, 1, 1})
		for i := range a.head {
			ends = append(ends, distill.EndRow{End: i == len(a.head)-1, Teacher: naiveEnd(naiveReachable(a.head[i])), Student: naiveEnd(naiveReachable(b.head[i]))})
			if argmax(a.head[i]) == argmax(b.head[i]) {
				same[0]++
			}
		}
		for f := range a.codes {
			for j := range 3 {
				kl[j+1] += naiveKL(a.codes[f][j], b.codes[f][j], 1)
				if argmax(a.codes[f][j]) == argmax(b.codes[f][j]) {
					same[j+1]++
				}
			}
		}
	}
	kl[0] = s.klFull
	for _, cfg := range []distill.MeasureConfig{{Batch: 3, Classes: distill.Full, ChunkRows: 5}, {Batch: 100, Classes: distill.Full}, {Batch: 1, Classes: distill.Full}} {
		d, err := distill.Measure(context.Background(), teacher, student, us, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if d.Utterances != 7 || float64(d.Frames) != s.frames || len(d.Ends) != len(ends) {
			t.Fatalf("%+v: %d utterances, %d frames, %d end rows", cfg, d.Utterances, d.Frames, len(d.Ends))
		}
		total := 0.0
		for g := range kl {
			n := s.frames
			if g == 0 {
				n = s.rows
			}
			total += kl[g] / n
			if math.Abs(d.KL[g]-kl[g]/n) > 2e-5 || d.Agreement[g] != same[g]/n {
				t.Errorf("%+v: code %d: KL %g, agreement %g; loops say %g, %g", cfg, g, d.KL[g], d.Agreement[g], kl[g]/n, same[g]/n)
			}
		}
		if math.Abs(d.NatsPerFrame()-total) > 1e-4 {
			t.Errorf("%+v: %g nats per frame, want %g", cfg, d.NatsPerFrame(), total)
		}
		for i, e := range ends {
			g := d.Ends[i]
			if g.End != e.End || math.Abs(g.Teacher-e.Teacher) > 1e-5 || math.Abs(g.Student-e.Student) > 1e-5 {
				t.Errorf("%+v: end row %d is %+v, want %+v", cfg, i, g, e)
			}
		}
	}
	cfg := distill.DefaultMeasureConfig()
	cfg.Classes = distill.Reachable
	d, err := distill.Measure(context.Background(), teacher, student, us, cfg)
	if err != nil || math.Abs(d.KL[0]-s.klReachable/s.rows) > 2e-5 {
		t.Errorf("KL over reachable classes %g (%v), want %g", d.KL[0], err, s.klReachable/s.rows)
	}
}

// TestProbe: remembering the teacher changes nothing, to the bit, however often it is asked.
func TestProbe(t *testing.T) {
	teacher, us := model(t, 1), utterances(7)
	cfg := distill.MeasureConfig{Batch: 3, Classes: distill.Full}
	p, err := distill.NewProbe(context.Background(), teacher, us, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, seed := range []int64{2, 3, 2} {
		student := model(t, seed)
		want, err := distill.Measure(context.Background(), teacher, student, us, cfg)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Measure(context.Background(), student)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("student %d (-measured +probed):\n%s", seed, d)
		}
	}
}

// TestMeasureLayouts: each layout's part is what a measurement of its utterances alone says; one layout has no parts.
func TestMeasureLayouts(t *testing.T) {
	teacher, student := cloner(t, 1), cloner(t, 2)
	us := dressed(t, mixed(t, teacher, clones(20), everyClone()))
	cfg := distill.MeasureConfig{Batch: 7, Classes: distill.Full, ChunkRows: 5}
	d, err := distill.Measure(context.Background(), teacher, student, us, cfg)
	if err != nil {
		t.Fatal(err)
	}
	utterances, frames := int64(0), int64(0)
	for _, part := range d.Layouts {
		var some data.List
		for _, u := range us {
			if distill.LayoutOf(teacher.Config, u) == part.Layout {
				some = append(some, u)
			}
		}
		alone, err := distill.Measure(context.Background(), teacher, student, some, distill.MeasureConfig{Batch: 1, Classes: distill.Full})
		if err != nil {
			t.Fatal(err)
		}
		utterances, frames = utterances+part.Utterances, frames+part.Frames
		if alone.Layouts != nil || alone.Utterances != part.Utterances || alone.Frames != part.Frames {
			t.Errorf("%v: %d utterances, %d frames; alone %d, %d, parts %v", part.Layout, part.Utterances, part.Frames, alone.Utterances, alone.Frames, alone.Layouts)
		}
		for g := range alone.KL {
			if math.Abs(alone.KL[g]-part.KL[g]) > 2e-5 {
				t.Errorf("%v, code %d: KL %g, alone %g", part.Layout, g, part.KL[g], alone.KL[g])
			}
		}
	}
	if len(d.Layouts) < 6 || utterances != d.Utterances || frames != d.Frames {
		t.Errorf("%d layouts with %d utterances and %d frames, want 6 or more with %d and %d", len(d.Layouts), utterances, frames, d.Utterances, d.Frames)
	}
}

func TestMeasureSelf(t *testing.T) {
	d, err := distill.Measure(context.Background(), model(t, 1), model(t, 1), utterances(4), distill.DefaultMeasureConfig())
	if err != nil {
		t.Fatal(err)
	}
	for g := range d.KL {
		if d.KL[g] != 0 || d.Agreement[g] != 1 {
			t.Errorf("code %d: KL %g and agreement %g with itself, want 0 and 1", g, d.KL[g], d.Agreement[g])
		}
	}
}

func TestMeasureErrors(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	if _, err := distill.Measure(context.Background(), teacher, student, data.List{}, distill.DefaultMeasureConfig()); !errors.Is(err, data.ErrEmpty) {
		t.Errorf("no data gives %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := distill.Measure(ctx, teacher, student, utterances(2), distill.DefaultMeasureConfig()); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled context gives %v", err)
	}
	if _, err := distill.Measure(context.Background(), teacher, student, utterances(2), distill.MeasureConfig{}); err == nil {
		t.Error("an empty configuration is accepted")
	}
}
