package distill_test

import (
	"math"
	"testing"

	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/train"
)

// TestTermsOfLayouts: prompts of every layout in one padded batch. The frames of a reference are read and not counted.
func TestTermsOfLayouts(t *testing.T) {
	teacher, student := cloner(t, 1), cloner(t, 2)
	us := dressed(t, mixed(t, teacher, clones(24), everyClone()))
	cfg := everything()
	cfg.Layouts = everyClone()
	var s sums
	kinds := map[distill.Layout]int{}
	for _, u := range us {
		kinds[distill.LayoutOf(teacher.Config, u)]++
		s.add(alone(t, teacher, u), alone(t, student, u), 1, []float64{1, 1, 1})
	}
	if len(kinds) != 8 {
		t.Fatalf("%d layouts in the batch, want all 8: %v", len(kinds), kinds)
	}
	if n := train.Count(us); float64(n.Frames) != s.frames || float64(n.Frames+n.Utterances) != s.rows {
		t.Fatalf("%+v counted, loops say %g frames and %g rows", n, s.frames, s.rows)
	}
	share := func(has func(distill.Layout) bool) float64 {
		n := 0
		for l, k := range kinds {
			if has(l) {
				n += k
			}
		}
		return float64(n) / float64(len(us))
	}
	want := map[string]float64{
		"kl_code0": s.klReachable / s.rows, "kl_codes": s.klCodes / s.frames, "hidden": s.hidden / s.rows,
		"eos": s.eos / s.rows, "ce_code0": s.ceCode0 / s.rows, "ce_codes": s.ceCodes / s.frames,
		"share_xvector":    share(func(l distill.Layout) bool { return l.Voice == distill.XVector }),
		"share_in_context": share(func(l distill.Layout) bool { return l.Voice == distill.InContext }),
		"share_streaming":  share(func(l distill.Layout) bool { return l.Streaming }),
		"share_explicit":   share(func(l distill.Layout) bool { return l.Explicit }),
	}
	got, _ := terms(t, teacher, student, cfg, us, train.Count(us))
	for name, w := range want {
		if math.Abs(got[name]-w) > 2e-5*math.Max(1, w) || w < 1e-3 {
			t.Errorf("%s is %g, loops say %g", name, got[name], w)
		}
	}
	if len(got) != len(want)+1 {
		t.Errorf("terms %v, want those of %v", got, want)
	}
}
