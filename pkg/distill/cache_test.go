package distill_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch"
)

// caching is a configuration that keeps top classes, or everything.
func caching(keep distill.Keep, top int) distill.Config {
	c := everything()
	c.Cache.Keep, c.Cache.Top = keep, top
	return c
}

// lessons of us in batches of 3.
func lessons(us []data.Utterance) distill.Lessons {
	return func(yield func([]data.Utterance, error) bool) {
		for part := range slices.Chunk(us, 3) {
			if !yield(part, nil) {
				return
			}
		}
	}
}

// keep makes a cache of what teacher says about us.
func keep(t *testing.T, dir string, teacher *talker.Model, cfg distill.Config, us []data.Utterance) *distill.Cache {
	t.Helper()
	c, err := distill.NewCache(context.Background(), dir, teacher, "sha", cfg, lessons(us), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// nearly compares gradients relative to the largest of each parameter.
func nearly(t *testing.T, got, want map[string][]float32, tol float64) {
	t.Helper()
	for name, w := range want {
		most, far := 0.0, 0.0
		for i := range w {
			most = math.Max(most, math.Abs(float64(w[i])))
			far = math.Max(far, math.Abs(float64(got[name][i]-w[i])))
		}
		if far > tol*most+1e-7 {
			t.Errorf("gradient of %s is %.3g off, the largest is %.3g", name, far, most)
		}
	}
}

// TestCachedGradients: what comes from disk teaches what the teacher does: exactly with all logits, up to the rounding of
// stored probabilities with all classes, for every choice of terms, whole and in chunks, in other batches than it was
// written in.
func TestCachedGradients(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	us := utterances(7)
	for _, tt := range []struct {
		name string
		keep distill.Keep
		tol  float64
		edit func(*distill.Config)
	}{
		{"exact", distill.KeepExact, 2e-3, func(*distill.Config) {}}, // hidden states are bf16
		{"exact logits", distill.KeepExact, 1e-5, func(c *distill.Config) { c.Hidden, c.Cache.Hidden = 0, false }},
		{"exact, full head", distill.KeepExact, 2e-3, func(c *distill.Config) { c.Code0Classes = distill.Full }},
		{"all classes", distill.KeepTop, 2e-3, func(*distill.Config) {}},
		{"all classes, warm", distill.KeepTop, 2e-3, func(c *distill.Config) { c.Temperature = 2 }},
		{"all classes in chunks", distill.KeepTop, 2e-3, func(c *distill.Config) { c.ChunkRows = 4 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := caching(tt.keep, 2000)
			tt.edit(&cfg)
			c := keep(t, t.TempDir(), teacher, cfg, us)
			if c.Utterances() != len(us) {
				t.Errorf("%d entries, want %d", c.Utterances(), len(us))
			}
			cached, err := distill.NewCached(c, student, cfg)
			if err != nil {
				t.Fatal(err)
			}
			live, err := distill.New(teacher, student, cfg)
			if err != nil {
				t.Fatal(err)
			}
			batch := []data.Utterance{us[5], us[0], us[6], us[2], us[3]}
			nearly(t, through(t, cached, student, batch, false, 1), through(t, live, student, batch, false, 1), tt.tol)
		})
	}
}

// TestTopIsABound: with fewer classes the term is less than the whole one, and comes nearer with more of them.
func TestTopIsABound(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	us := utterances(7)
	value := func(o *distill.Objective) (v float64) {
		err := nn.Run(func(c *nn.Context) error {
			list, err := o.Terms(c, us, train.Count(us))
			for _, term := range list {
				if term.Name == "kl_codes" {
					v = scalar(t, term.Value)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	live, err := distill.New(teacher, student, everything())
	if err != nil {
		t.Fatal(err)
	}
	whole, last := value(live), 0.0
	for _, k := range []int{1, 3, 7} {
		cfg := caching(distill.KeepTop, k)
		o, err := distill.NewCached(keep(t, t.TempDir(), teacher, cfg, us), student, cfg)
		if err != nil {
			t.Fatal(err)
		}
		v := value(o)
		t.Logf("top %d of 8: kl_codes %.4f of %.4f", k, v, whole)
		if v <= last || v > whole*1.001 {
			t.Errorf("top %d: kl_codes %v, want more than %v and at most %v", k, v, last, whole)
		}
		last = v
	}
	if last < 0.98*whole {
		t.Errorf("top 7 of 8 has %v of %v", last, whole)
	}
}

// TestCacheGoesOn: an interrupted pass keeps its parts, the next one completes them, and a third finds nothing to do.
func TestCacheGoesOn(t *testing.T) {
	teacher, us, dir := model(t, 1), utterances(9), t.TempDir()
	cfg := caching(distill.KeepTop, 4)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := distill.NewCache(ctx, dir, teacher, "sha", cfg, lessons(us), func(n int) {
		if n == 6 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want a canceled context", err)
	}
	parts, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(parts) != 2 { // the lock too
		t.Fatalf("files %q after an interruption, want one part", parts)
	}
	asked := &counted{Projection: teacher.CodecHead.P}
	teacher.CodecHead.P = asked
	cfg.Cache.Check = 0
	c := keep(t, dir, teacher, cfg, us)
	if len(asked.rows) != 1 || c.Utterances() != 9 {
		t.Errorf("the teacher was asked for %v rows, want 3 utterances at once; %d entries, want 9", asked.rows, c.Utterances())
	}
	again := keep(t, dir, teacher, cfg, append(utterances(4), us...)) // some twice
	if len(asked.rows) != 1 || again.Utterances() != 9 {
		t.Errorf("the teacher was asked again: %v", asked.rows)
	}
	n := train.Count(us)
	want, err := distill.CacheBytes(teacher.Config, teacher.DType, cfg, n.Utterances, n.Frames)
	if have := c.Bytes(); err != nil || have < want || have > want+8192 {
		t.Errorf("%d bytes on disk, CacheBytes says %d, %v", have, want, err)
	}
	// A bf16 teacher's exact logits take two bytes.
	cfg.Cache.Keep = distill.KeepExact
	b, _ := distill.CacheBytes(teacher.Config, gotch.BFloat16, cfg, 1, 10)
	if want := int64(11*9*2 + 10*3*8*2 + 11*4 + 11*16*2); b != want {
		t.Errorf("%d bytes for 10 frames, want %d", b, want)
	}
}

// TestCacheFollowsTheMix: each layout that an utterance is drawn in has an entry, and the training resumes to the bit.
func TestCacheFollowsTheMix(t *testing.T) {
	teacher := cloner(t, 1)
	l := everyClone()
	set := mixed(t, teacher, clones(5), l)
	cfg := caching(distill.KeepTop, 4)
	cfg.Layouts = l
	loop := train.DefaultConfig()
	loop.Steps, loop.MicroBatch, loop.TokensPerStep, loop.CheckpointEvery = 12, 2, 10, 5
	c, err := distill.NewCache(context.Background(), t.TempDir(), teacher, "sha", cfg, loop.Batches(set), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n := c.Utterances(); n <= 8 || n > 5*8 {
		t.Errorf("%d entries, want several layouts of each of 5 utterances", n)
	}
	run := func(dir string, steps int, resume bool) []byte {
		student := cloner(t, 2)
		o, err := distill.NewCached(c, student, cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		_, err = (&train.Loop{Config: loop, Objective: o, Data: set, Dir: dir, Resume: resume, Settings: train.SettingsOf(cfg),
			Tracker: watcher(func(s track.Step) {
				if s.Step == int64(steps) && steps < 12 {
					cancel()
				}
			})}).Run(ctx)
		if err != nil && !errors.Is(err, train.ErrInterrupted) {
			t.Fatal(err)
		}
		b, err := tensor.Bytes(student.Decoder.Norm.W.T)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	halves := t.TempDir()
	whole := run(t.TempDir(), 12, false)
	run(halves, 5, false)
	if !bytes.Equal(run(halves, 12, true), whole) {
		t.Error("a resumed training differs")
	}
}

func TestCacheRefusals(t *testing.T) {
	teacher, us, dir := model(t, 1), utterances(4), t.TempDir()
	cfg := caching(distill.KeepTop, 4)
	c := keep(t, dir, teacher, cfg, us)
	fresh := func(dir, identity string, m *talker.Model, edit func(*distill.Config)) error {
		cfg := cfg
		edit(&cfg)
		c, err := distill.NewCache(context.Background(), dir, m, identity, cfg, lessons(us), nil)
		if err == nil {
			c.Close()
		}
		return err
	}
	same := func(*distill.Config) {}
	broken := t.TempDir()
	keep(t, broken, teacher, cfg, us)
	part := filepath.Join(broken, "part-00000.safetensors")
	if err := os.Truncate(part, 900); err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	if err := nn.Save(filepath.Join(foreign, "part-00000.safetensors"), model(t, 1), "", nil); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		err  error
		want []string
	}{
		{"another teacher's folder", fresh(dir, "other", teacher, same), []string{"part-00000", "teacher is sha, want other", "cache.dir"}},
		{"another setting's folder", fresh(dir, "sha", teacher, func(c *distill.Config) { c.Temperature, c.Cache.Top = 2, 5 }), []string{"temperature is 1, want 2", "top is 4, want 5"}},
		{"a teacher that has changed unseen", fresh(dir, "sha", model(t, 3), same), []string{`utterance "u`, "total variation", "want at most 0.02", "cache.tolerance"}},
		{"hidden states that are not kept", fresh(t.TempDir(), "sha", teacher, func(c *distill.Config) { c.Cache.Hidden = false }), []string{"hidden is 0.3 and cache.hidden false"}},
		{"nothing to keep", fresh(t.TempDir(), "sha", teacher, func(c *distill.Config) { c.Cache.Keep = distill.KeepNothing }), []string{`cache.keep is "none", want "top" or "exact"`}},
		{"labels alone", fresh(t.TempDir(), "sha", teacher, func(c *distill.Config) { c.KLCode0, c.KLCodes, c.EOS, c.Hidden = 0, 0, 0, 0 }), []string{"no term with a weight asks the teacher"}},
		{"bad numbers", fresh(t.TempDir(), "sha", teacher, func(c *distill.Config) { c.Cache.Top, c.Cache.Check, c.Cache.Tolerance = 0, -1, math.NaN() }),
			[]string{"cache.top is 0", "cache.check is -1", "cache.tolerance is NaN"}},
		{"a damaged part", fresh(broken, "sha", teacher, same), []string{part}},
		{"files of another kind", fresh(foreign, "sha", teacher, same), []string{"want a part of a teacher cache"}},
		{"a file", fresh(file, "sha", teacher, same), []string{file}},
	} {
		for _, want := range tt.want {
			if tt.err == nil || !strings.Contains(tt.err.Error(), want) {
				t.Errorf("%s: error %v, want it to say %q", tt.name, tt.err, want)
			}
		}
	}
	o, err := distill.NewCached(c, model(t, 2), cfg)
	if err != nil {
		t.Fatal(err)
	}
	warm := cfg
	warm.Temperature = 2
	if _, err := distill.NewCached(c, model(t, 2), warm); err == nil || !strings.Contains(err.Error(), "temperature is 1, want 2") {
		t.Errorf("a cache of another temperature gives %v", err)
	}
	unknown := utterances(5)[4:]
	err = nn.Run(func(c *nn.Context) error { _, err := o.Terms(c, unknown, train.Count(unknown)); return err })
	if err == nil || !strings.Contains(err.Error(), `utterance "u4" in layout preset, whole, auto has no entry`) {
		t.Errorf("error %v", err)
	}
	var k distill.Keep
	if err := k.UnmarshalText([]byte("all")); err == nil || !strings.Contains(err.Error(), "none, top, exact") {
		t.Errorf("error %v", err)
	}
}
