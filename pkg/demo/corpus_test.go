package demo_test

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
)

func each(t testing.TB, s data.Set, f func(data.Utterance)) {
	t.Helper()
	for i := range s.Len() {
		u, err := s.At(i)
		if err != nil {
			t.Fatal(err)
		}
		f(u)
	}
}

func surprise(p float64) float64 {
	if p == 0 {
		return 0
	}
	return -p * math.Log(p)
}

// The language is part of the committed teacher: another digest means that the teacher has to be trained again.
func TestLanguageIsPinned(t *testing.T) {
	const want = "41b9db6a5631a2ae"
	h := sha256.New()
	w := data.NewWriter(h)
	each(t, set(t, demo.Evaluation, 7, 20), func(u data.Utterance) {
		if err := w.Write(u); err != nil {
			t.Fatal(err)
		}
	})
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != want {
		t.Errorf("digest of 20 utterances is %s, want %s", got, want)
	}
}

func TestUtterancesDependOnSplitSeedAndIndexOnly(t *testing.T) {
	a, b := set(t, demo.Pretrain, 5, 30), set(t, demo.Pretrain, 5, 300)
	for _, i := range []int{29, 0, 11} {
		x, errX := a.At(i)
		y, errY := b.At(i)
		if errX != nil || errY != nil {
			t.Fatal(errX, errY)
		}
		if d := cmp.Diff(x, y); d != "" {
			t.Errorf("utterance %d: %s", i, d)
		}
	}
	texts := map[string]int{}
	for _, s := range []*demo.Set{a, set(t, demo.Pretrain, 6, 30), set(t, demo.Calibration, 5, 30)} {
		each(t, s, func(u data.Utterance) { texts[demo.Letters(u.Text)]++ })
	}
	if len(texts) < 85 {
		t.Errorf("%d texts of 90, want other seeds and splits to give other texts", len(texts))
	}
}

func TestUtterancesAreWellFormed(t *testing.T) {
	l := data.Limits{TextVocab: demo.TextVocab, Groups: demo.Groups, Codebook: demo.Codebook}
	frames, n := 0, 500
	speakers, lengths := map[string]int{}, map[int]int{}
	each(t, set(t, demo.Distillation, 2, n), func(u data.Utterance) {
		if err := u.Check(l); err != nil {
			t.Error(err)
		}
		if sorted := slices.Sorted(slices.Values(u.Text)); len(slices.Compact(sorted)) != len(u.Text) {
			t.Errorf("text %s repeats a phone", demo.Letters(u.Text))
		}
		if demo.SpeakerIndex(u.Speaker) < 0 {
			t.Errorf("speaker %q is unknown", u.Speaker)
		}
		frames += u.Frames()
		speakers[u.Speaker]++
		lengths[len(u.Text)]++
	})
	if mean := float64(frames) / float64(n); mean < 13 || mean > 19 {
		t.Errorf("%.1f frames an utterance, want 13 … 19", mean)
	}
	if len(speakers) != len(demo.Speakers()) || len(lengths) != demo.MaxText-demo.MinText+1 {
		t.Errorf("speakers %v, lengths %v; want all of them", speakers, lengths)
	}
}

// Every text that drawText can give belongs to one split by its hash alone, so splits are disjoint whatever the seeds.
// What can still go wrong: a set that hands out texts of another split, and shares far from the stated ones.
func TestSplitsAreDisjointByText(t *testing.T) {
	splits := []demo.Split{demo.Pretrain, demo.Calibration, demo.Distillation, demo.Selection, demo.Evaluation}
	owner := map[string]demo.Split{}
	for _, split := range splits {
		for seed := range uint64(3) {
			s := set(t, split, seed, 10000)
			for i := range s.Len() {
				text := demo.Letters(s.Text(i))
				if first, seen := owner[text]; seen && first != split {
					t.Errorf("text %s is in %v and %v", text, first, split)
				}
				owner[text] = split
			}
		}
	}
	count := map[demo.Split]float64{}
	total := 0.0
	var walk func(phones []int)
	walk = func(phones []int) { // all 43,680 texts of four phones
		if len(phones) == 4 {
			count[demo.SplitOf(demo.Text(phones...))]++
			total++
			return
		}
		for p := range demo.Phones {
			if !slices.Contains(phones, p) {
				walk(append(slices.Clone(phones), p))
			}
		}
	}
	walk(nil)
	for i, share := range []float64{0.5, 0.1, 0.2, 0.1, 0.1} {
		if got := count[splits[i]] / total; math.Abs(got-share) > 0.01 {
			t.Errorf("%v holds %.3f of all short texts, want %.1f", splits[i], got, share)
		}
	}
}

func TestSetRefuses(t *testing.T) {
	c := demo.New()
	if _, err := c.Set(demo.Split(9), 1, 1); err == nil || err.Error() != "demo: split is Split(9), want one of [pretrain calibration distillation selection evaluation]" {
		t.Errorf("error is %v", err)
	}
	if _, err := c.Set(demo.Pretrain, 1, 0); err == nil {
		t.Error("no utterances are no error")
	}
	if _, err := set(t, demo.Pretrain, 1, 2).At(2); err == nil {
		t.Error("utterance 2 of 2 is no error")
	}
}

func BenchmarkAt(b *testing.B) {
	s := set(b, demo.Calibration, 1, math.MaxInt32)
	frames := 0
	for i := 0; b.Loop(); i++ {
		u, err := s.At(i)
		if err != nil {
			b.Fatal(err)
		}
		frames += u.Frames()
	}
	b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "frames/s")
}
