package main

import (
	"context"
	"math"
	"math/cmplx"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/text"
	"github.com/qakd/qakd/pkg/train"
)

func TestMain(m *testing.M) {
	if err := tensor.SetThreads(1); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The committed codec speaks: a listener who knows only the true sounds hears nearly every phone and pitch.
func TestCommittedCodec(t *testing.T) {
	teacher, err := demo.TeacherDir()
	must(t, err)
	dir := filepath.Join(teacher, "speech_tokenizer")
	info, err := os.Stat(filepath.Join(dir, "model.safetensors"))
	must(t, err)
	if info.Size() >= 4_000_000 {
		t.Errorf("%d bytes of weights, want under 4 MB", info.Size())
	}
	m, err := codec.Load(dir, codec.Options{})
	must(t, err)
	defer m.Close()
	set, err := demo.New().Set(demo.Evaluation, 99, 10)
	must(t, err)
	var codes [][][]int32
	for i := range set.Len() {
		u, err := set.At(i)
		must(t, err)
		codes = append(codes, u.Codes)
	}
	s, err := measure(context.Background(), m, codes)
	must(t, err)
	for _, h := range []struct {
		what        string
		have, least float64
	}{
		{"phones of the decoded sound", s.Decoded.Phones, 0.95 * s.True.Phones},
		{"pitch of the decoded sound", s.Decoded.Pitch, 0.95 * s.True.Pitch},
		{"phones of the sound that was encoded and decoded", s.Again.Phones, 0.95 * s.True.Phones},
		{"pitch of the sound that was encoded and decoded", s.Again.Pitch, 0.9 * s.True.Pitch},
		{"code 0 of the true sound", s.Code0, 0.9},
	} {
		if h.have < h.least {
			t.Errorf("%s: %.1f %% of %d frames are heard right, want %.1f %%", h.what, 100*h.have, s.Frames, 100*h.least)
		}
	}
}

// The teacher's tokenizer reads a spelled word as the language's text.
func TestSpelledWords(t *testing.T) {
	dir, err := demo.TeacherDir()
	must(t, err)
	tok, err := text.Load(dir)
	must(t, err)
	for word, phones := range map[string][]int{"cab": {2, 0, 1}, "ponmlkj": {15, 14, 13, 12, 11, 10, 9}, "hide": {7, 8, 3, 4}} {
		spelled, err := demo.Spell(word)
		must(t, err)
		ids, err := tok.Body(spelled)
		must(t, err)
		if want := demo.Text(phones...); !slices.Equal(ids, want) {
			t.Errorf("%s is %v, want %v", spelled, ids, want)
		}
	}
}

// A few updates make both halves better, and every parameter that is not frozen is moved.
func TestBothHalvesLearn(t *testing.T) {
	m, err := codec.New(codecConfig(), codec.Both)
	must(t, err)
	defer m.Close()
	corpus := demo.New()
	must(t, initialize(m, corpus, 1))
	set, err := corpus.Set(demo.Pretrain, 1, 2)
	must(t, err)
	for name, o := range map[string]train.Objective{"decoder": &speaking{m, corpus, 0.2}, "encoder": &hearing{m, corpus, 0.3}} {
		before := map[string][]float32{}
		for _, p := range nn.Params(o.Module()) {
			before[p.Name], err = tensor.Floats(p.T)
			must(t, err)
		}
		first := loss(t, o, set)
		cfg := defaults().Decoder
		cfg.Steps, cfg.MicroBatch = 4, 2
		_, err = (&train.Loop{Config: cfg, Objective: o, Data: set}).Run(context.Background())
		must(t, err)
		if last := loss(t, o, set); last >= first {
			t.Errorf("%s: loss is %v after 4 updates, %v before", name, last, first)
		}
		for _, p := range nn.Params(o.Module()) {
			now, err := tensor.Floats(p.T)
			must(t, err)
			if moved := !slices.Equal(now, before[p.Name]); moved == p.Frozen {
				t.Errorf("%s: %s has moved: %v, is frozen: %v", name, p.Name, moved, p.Frozen)
			}
		}
	}
}

func loss(t *testing.T, o train.Objective, set data.Set) (sum float64) {
	t.Helper()
	us, err := data.ReadAll(data.Stream(set))
	must(t, err)
	must(t, nn.Run(func(c *nn.Context) (err error) {
		nn.NoGrad(func() {
			var terms []train.Term
			if terms, err = o.Terms(c, us, train.Count(us)); err != nil {
				return
			}
			for _, term := range terms {
				var v float64
				if v, err = tensor.Scalar(term.Value); err != nil {
					return
				}
				sum += term.Weight * v
			}
		})
		return err
	}))
	return sum
}

// logPower is the discrete Fourier transform of windows, counted out.
func TestLogPower(t *testing.T) {
	const n = 16
	x := make([]float32, 3*n)
	for i := range x {
		x[i] = float32(math.Sin(0.9*float64(i)) + 0.1*float64(i%5))
	}
	var got []float32
	must(t, nn.Run(func(c *nn.Context) (err error) {
		got, err = tensor.Floats(logPower(c, c.FromFloats(x, 1, 3*n), n))
		return err
	}))
	windows := 2*n/(n/4) + 1
	if len(got) != (n/2+1)*windows {
		t.Fatalf("%d values, want %d bins of %d windows", len(got), n/2+1, windows)
	}
	for b := range n/2 + 1 {
		for w := range windows {
			var sum complex128
			for i := range n {
				hann := (1 - math.Cos(2*math.Pi*float64(i)/n)) / 2
				sum += complex(float64(x[w*n/4+i])*hann, 0) * cmplx.Rect(1, -2*math.Pi*float64(b*i)/n)
			}
			want := 0.5 * math.Log(real(sum*cmplx.Conj(sum))/(n*3.0/8)+floor)
			if have := float64(got[w*(n/2+1)+b]); math.Abs(have-want) > 1e-4 {
				t.Errorf("bin %d, window %d is %v, want %v", b, w, have, want)
			}
		}
	}
}

func TestSettingsRefuse(t *testing.T) {
	s := defaults()
	must(t, s.Validate())
	s.Spectrum, s.Utterances, s.Encoder.Steps = -1, 0, 0
	err := s.Validate()
	if want := "utterances is 0, want at least 1\nspectrum is -1, want 0 or more\nencoder: steps is 0, want at least 1"; err == nil || err.Error() != want {
		t.Errorf("error is\n%v\nwant\n%s", err, want)
	}
}
