package demo_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
)

func spoken(t testing.TB, c *demo.Corpus, codes [][]int32) []float32 {
	t.Helper()
	x, err := c.Speak(codes)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// What is true can be heard: a listener finds every phone and every pitch, and finds neither in what somebody else says.
func TestListenerHearsTheTruth(t *testing.T) {
	c, l := demo.New(), demo.NewListener()
	var frames, voiced, phones, pitches, strange float64
	var past []float32
	each(t, set(t, demo.Evaluation, 3, 24), func(u data.Utterance) {
		x := spoken(t, c, u.Codes)
		hz, err := c.Pitch(u.Codes)
		if err != nil {
			t.Fatal(err)
		}
		others := l.Phones(past)
		heard := l.Pitch(x)
		for f, p := range l.Phones(x) {
			frames++
			if p == demo.Phone(u.Codes[f]) {
				phones++
			}
			if f < len(others) && others[f] == demo.Phone(u.Codes[f]) {
				strange++
			}
			if hz[f] > 0 {
				voiced++
				if math.Abs(heard[f]/hz[f]-1) < 0.03 {
					pitches++
				}
			}
		}
		past = x
	})
	if phones < 0.99*frames || pitches < 0.99*voiced {
		t.Errorf("of %v frames %v phones are heard, of %v voiced ones %v pitches; want 99 %%", frames, phones, voiced, pitches)
	}
	if strange > 0.3*frames {
		t.Errorf("%v of %v phones are heard in another utterance, want few", strange, frames)
	}
}

// Sixteen phones, four variants, four pitches: all sound, none too loud, and the distance tells them apart.
func TestSounds(t *testing.T) {
	c, l := demo.New(), demo.NewListener()
	pitch := map[float64]bool{}
	each(t, set(t, demo.Evaluation, 4, 60), func(u data.Utterance) {
		x := spoken(t, c, u.Codes)
		if len(x) != len(u.Codes)*demo.Hop {
			t.Errorf("%d samples of %d frames, want %d each", len(x), len(u.Codes), demo.Hop)
		}
		for f := range u.Codes {
			power := 0.0
			for _, v := range x[f*demo.Hop : (f+1)*demo.Hop] {
				power += float64(v*v) / demo.Hop
				if math.Abs(float64(v)) >= 0.99 {
					t.Fatalf("frame %d of %s clips", f, u.ID)
				}
			}
			if power < 4e-4 {
				t.Errorf("frame %d of %s has power %.2g, want a sound", f, u.ID, power)
			}
		}
		hz, err := c.Pitch(u.Codes)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range hz {
			pitch[v] = true
		}
		if d := l.Distance(x, x); d != 0 {
			t.Errorf("distance from itself is %v", d)
		}
		quiet := slices.Clone(x)
		for i := range quiet {
			quiet[i] /= 2
		}
		if d := l.Distance(x, quiet); math.Abs(d-20*math.Log10(2)) > 0.01 {
			t.Errorf("distance from half as loud is %v dB, want 6.02", d)
		}
	})
	for _, hz := range []float64{0, 100, 150, 200, 250} {
		if !pitch[hz] {
			t.Errorf("nobody speaks at %v Hz: %v", hz, pitch)
		}
	}
}

// What is said later changes nothing, and what was said four frames ago is over.
func TestSpeakIsCausal(t *testing.T) {
	c := demo.New()
	u, err := set(t, demo.Evaluation, 1, 1).At(0)
	if err != nil {
		t.Fatal(err)
	}
	x := spoken(t, c, u.Codes)
	other := slices.Clone(u.Codes)
	const f = 5
	other[f] = make([]int32, demo.Groups)
	y := spoken(t, c, other)
	if !slices.Equal(x[:f*demo.Hop], y[:f*demo.Hop]) {
		t.Error("another frame changes what was said before")
	}
	if slices.Equal(x[f*demo.Hop:(f+1)*demo.Hop], y[f*demo.Hop:(f+1)*demo.Hop]) {
		t.Error("another frame sounds the same")
	}
	if !slices.Equal(x[(f+4)*demo.Hop:], y[(f+4)*demo.Hop:]) {
		t.Error("another frame changes what is said four frames later")
	}
}

func TestSpeakRefuses(t *testing.T) {
	frame := make([]int32, demo.Groups)
	bad := slices.Clone(frame)
	bad[3] = demo.Codebook
	for _, tt := range []struct {
		frames [][]int32
		want   string
	}{
		{[][]int32{frame, frame[1:]}, "demo: frame 1 has 15 codes, want 16"},
		{[][]int32{bad}, "demo: frame 0: code 64 of codebook 3, want 0 to 63"},
	} {
		if _, err := demo.New().Speak(tt.frames); err == nil || err.Error() != tt.want {
			t.Errorf("error is %v, want %s", err, tt.want)
		}
		if _, err := demo.New().Pitch(tt.frames); err == nil || err.Error() != tt.want {
			t.Errorf("error is %v, want %s", err, tt.want)
		}
	}
}

func TestSpell(t *testing.T) {
	if got, err := demo.Spell("cab"); got != ".cCaAbBz" || err != nil {
		t.Errorf("cab is spelled %q, error %v", got, err)
	}
	for word, want := range map[string]string{
		"ab": "has 2 phones", "": "has 0 phones", "abcdefgh": "has 8 phones", "abq": "'q' is no phone", "aBc": "'B' is no phone",
		"abä": "'ä' is no phone", "abca": "'a' comes twice",
	} {
		if got, err := demo.Spell(word); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is spelled %q, error %v, want %q", word, got, err, want)
		}
	}
}

func BenchmarkSpeak(b *testing.B) {
	c := demo.New()
	u, err := set(b, demo.Evaluation, 1, 1).At(0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		spoken(b, c, u.Codes)
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/float64(len(u.Codes))*12.5, "ms/s-of-sound")
}
