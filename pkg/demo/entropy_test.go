package demo_test

import (
	"errors"
	"testing"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
)

func set(t testing.TB, split demo.Split, seed uint64, n int) *demo.Set {
	t.Helper()
	s, err := demo.New().Set(split, seed, n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func score(t *testing.T, s data.Set, how demo.Shuffle) demo.Score {
	t.Helper()
	sc, err := demo.New().Score(s, how)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// The language must be worth learning: enough entropy in each codebook, far from that of one fixed distribution, and
// a strong influence of the speaker and of the lower codes.
func TestEntropyIsThatOfSpeech(t *testing.T) {
	s := set(t, demo.Evaluation, 1, 400)
	straight := score(t, s, demo.Straight)
	marginal := marginals(t, s)
	for g := range demo.Groups {
		least := 0.5
		if g == 0 {
			least = 1
		}
		h := straight.Entropy[g]
		t.Logf("codebook %2d: conditional entropy %.3f nats, without conditions %.3f", g, h, marginal[g])
		if h < 1.2*least {
			t.Errorf("codebook %d: entropy %.3f nats an event, want at least %.2f", g, h, 1.2*least)
		}
		if marginal[g] < h+0.5 {
			t.Errorf("codebook %d: conditions tell %.3f nats, want at least 0.5", g, marginal[g]-h)
		}
		if d := straight.CrossEntropy[g] - h; d > 0.05 || d < -0.05 {
			t.Errorf("codebook %d: cross-entropy of the truth %.3f, entropy %.3f; want them within 0.05", g, straight.CrossEntropy[g], h)
		}
	}
	for how, name := range map[demo.Shuffle]string{demo.ShuffleSpeaker: "speakers", demo.ShuffleLower: "lower codes"} {
		worse := score(t, s, how).TotalCrossEntropy()/straight.TotalCrossEntropy() - 1
		t.Logf("%s shuffled: cross-entropy %+.1f %%", name, 100*worse)
		if worse < 0.3 {
			t.Errorf("%s shuffled: cross-entropy %+.1f %%, want at least +30 %%", name, 100*worse)
		}
	}
	t.Logf("total entropy %.3f nats a frame, %.1f frames an utterance", straight.TotalEntropy(), float64(straight.Frames)/float64(straight.Ends))
}

// marginals are the entropies of the codes' frequencies.
func marginals(t *testing.T, s data.Set) (h [demo.Groups]float64) {
	var count [demo.Groups][demo.Codebook]float64
	frames := 0.0
	each(t, s, func(u data.Utterance) {
		for _, f := range u.Codes {
			for g, c := range f {
				count[g][c]++
			}
			frames++
		}
	})
	for g := range h {
		for _, n := range count[g] {
			h[g] += surprise(n / frames)
		}
	}
	return h
}

func TestScoreRefuses(t *testing.T) {
	u, err := set(t, demo.Evaluation, 1, 1).At(0)
	if err != nil {
		t.Fatal(err)
	}
	c := demo.New()
	if _, err := c.Score(data.List{}, demo.Straight); !errors.Is(err, data.ErrEmpty) {
		t.Errorf("nothing to score: error is %v", err)
	}
	stranger := u
	stranger.Speaker = "nobody"
	if _, err := c.Score(data.List{stranger}, demo.Straight); err == nil {
		t.Error("an unknown speaker is no error")
	}
	wrong := u
	wrong.Text = u.Text[1:]
	if _, err := c.Score(data.List{wrong}, demo.Straight); err == nil {
		t.Error("frames that leave the text are no error")
	}
}
