package demo

import "testing"

func TestScores(t *testing.T) {
	c := New()
	set, err := c.Set(Evaluation, 1, 2000)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Score(set, Straight)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("frames/utt %.2f", float64(a.Frames)/float64(a.Ends))
	for g := range Groups {
		t.Logf("g %2d entropy %.3f ce %.3f", g, a.Entropy[g], a.CrossEntropy[g])
	}
	t.Logf("total %.3f %.3f", a.TotalEntropy(), a.TotalCrossEntropy())
	for _, h := range []Shuffle{ShuffleSpeech, ShuffleLower} {
		b, err := c.Score(set, h)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("shuffle %v: %.3f (+%.1f %%)", h, b.TotalCrossEntropy(), 100*(b.TotalCrossEntropy()/a.TotalCrossEntropy()-1))
	}
}

func BenchmarkGenerate(b *testing.B) {
	c := New()
	set, _ := c.Set(Calibration, 1, 1<<30)
	n, i := 0, 0
	for b.Loop() {
		u, _ := set.At(i)
		n += u.Frames()
		i++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "frames/s")
}
