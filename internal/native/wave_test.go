package native

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// odd is a small chain with every feature and no round number: phases, dilation, activations, a residual connection.
func odd() []*WaveStep {
	r := rand.New(rand.NewPCG(1, 2))
	list := func(n int, scale float64) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64() * scale)
		}
		return v
	}
	step := func(in, out, taps, dilation, phases int, snake, add, keep bool) *WaveStep {
		s := &WaveStep{In: in, Out: out, Taps: taps, Dilation: dilation, Phases: phases, Add: add, Keep: keep,
			Weight: list(phases*taps*in*out, 1/math.Sqrt(float64(taps*in))), Bias: list(out, 0.3)}
		if snake {
			s.Alpha, s.Beta = list(out, 0.5), list(out, 0.5)
		}
		return s
	}
	return []*WaveStep{
		step(5, 51, 3, 1, 1, true, false, false),
		step(51, 17, 2, 1, 3, true, false, true),
		step(17, 17, 7, 3, 1, true, false, false),
		step(17, 17, 1, 1, 1, true, true, true),
		step(17, 17, 7, 9, 1, false, false, false),
		step(17, 17, 1, 1, 1, true, true, true),
		step(17, 2, 7, 1, 1, false, false, false),
	}
}

// naiveWave is the definition, in loops. narrow rounds what a step reads.
func naiveWave(steps []*WaveStep, x []float32, narrow func(v float64) float64) []float64 {
	from := make([]float64, len(x))
	for i, v := range x {
		from[i] = narrow(float64(v))
	}
	var kept []float64
	for n, s := range steps {
		rows := len(from) / s.In
		y := make([]float64, rows*s.Phases*s.Out)
		for t := range rows {
			for p := range s.Phases {
				for o := range s.Out {
					sum := float64(s.Bias[o])
					for j := range s.Taps {
						if at := t - (s.Taps-1-j)*s.Dilation; at >= 0 {
							for c := range s.In {
								sum += narrow(float64(s.Weight[((p*s.Taps+j)*s.In+c)*s.Out+o])) * from[at*s.In+c]
							}
						}
					}
					y[(t*s.Phases+p)*s.Out+o] = sum
				}
			}
		}
		for i := range y {
			if s.Add {
				y[i] += kept[i]
			}
		}
		if n == len(steps)-1 {
			return y
		}
		if s.Keep {
			kept = append([]float64(nil), y...)
		}
		for i, v := range y {
			if o := i % s.Out; s.Alpha != nil {
				sine := math.Sin(v * math.Exp(float64(s.Alpha[o])))
				v += sine * sine / (math.Exp(float64(s.Beta[o])) + 1e-9)
			}
			y[i] = narrow(v)
		}
		from = y
	}
	return nil
}

func roundBF16(v float64) float64 {
	bits := math.Float32bits(float32(v))
	return float64(math.Float32frombits((bits + 0x7fff + bits>>16&1) &^ 0xffff))
}

func newWave(t *testing.T, threads int, kernels string, steps []*WaveStep) *Wave {
	t.Helper()
	w, err := NewWave(len(steps), threads, kernels, func(i int) (*WaveStep, error) { return steps[i], nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func wave(t *testing.T, w *Wave, state []byte, x []float32) []float32 {
	t.Helper()
	y, err := w.Run(state, x)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// Every set of kernels computes the definition, on one thread or several, in one piece or many.
func TestWave(t *testing.T) {
	steps := odd()
	const rows, in = 300, 5
	r := rand.New(rand.NewPCG(3, 4))
	x := make([]float32, rows*in)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	for _, bf16 := range []bool{false, true} {
		narrow, tol := func(v float64) float64 { return v }, 2e-5
		if bf16 {
			narrow, tol = roundBF16, 0.05 // a sum in another order may round to the other neighbor
		}
		want := naiveWave(steps, x, narrow)
		for _, kernels := range WaveKernels(bf16) {
			w := newWave(t, 1, kernels, steps)
			got := wave(t, w, w.NewState(), x)
			if len(got) != len(want) {
				t.Fatalf("%s: %d numbers, want %d", kernels, len(got), len(want))
			}
			var mean float64
			for i := range want {
				d := math.Abs(float64(got[i]) - want[i])
				mean += d / float64(len(want))
				if !(d <= tol*(1+math.Abs(want[i]))) {
					t.Fatalf("%s: number %d is %v, want %v", kernels, i, got[i], want[i])
				}
			}
			if mean > tol/4 {
				t.Errorf("%s is off by %g on average", kernels, mean)
			}
			many := newWave(t, 3, kernels, steps)
			state := many.NewState()
			var pieces []float32
			for i, n := 0, 1; i < rows; i, n = i+n, n*2 {
				n = min(n, rows-i)
				pieces = append(pieces, wave(t, many, state, x[i*in:(i+n)*in])...)
			}
			for i := range got {
				if pieces[i] != got[i] {
					t.Fatalf("%s: number %d in pieces is %v, in one %v", kernels, i, pieces[i], got[i])
				}
			}
		}
	}
}

// A huge or infinite number stays one signal's: nothing crashes, and a new signal knows nothing of it.
func TestWaveHugeNumbers(t *testing.T) {
	w := newWave(t, 1, "", odd())
	x := []float32{1, -1, 1, -1, 1}
	want := wave(t, w, w.NewState(), x)
	for _, huge := range []float32{1e30, float32(math.Inf(1)), float32(math.NaN())} {
		wave(t, w, w.NewState(), []float32{huge, huge, huge, huge, huge})
		for i, v := range wave(t, w, w.NewState(), x) {
			if v != want[i] {
				t.Fatalf("after %v, number %d is %v, want %v", huge, i, v, want[i])
			}
		}
	}
}

func TestWaveErrors(t *testing.T) {
	edit := func(f func(steps []*WaveStep)) error {
		steps := odd()
		f(steps)
		w, err := NewWave(len(steps), 1, "", func(i int) (*WaveStep, error) { return steps[i], nil })
		if err == nil {
			w.Close()
		}
		return err
	}
	w := newWave(t, 1, "", odd())
	closed := newWave(t, 1, "", odd())
	closed.Close()
	run := func(w *Wave, state []byte, n int) error { _, err := w.Run(state, make([]float32, n)); return err }
	for want, err := range map[string]error{
		"wave step 1: 101 weights":                     edit(func(s []*WaveStep) { s[1].Weight = s[1].Weight[:101] }),
		"wave step 2: 3 biases, want 17":               edit(func(s []*WaveStep) { s[2].Bias = s[2].Bias[:3] }),
		"0 and 17 activation parameters":               edit(func(s []*WaveStep) { s[2].Alpha = nil }),
		"taps 0":                                       edit(func(s []*WaveStep) { s[0].Taps = 0 }),
		"reads 51 channels, want 17":                   edit(func(s []*WaveStep) { s[2] = s[1] }),
		"a state of 3 bytes":                           run(w, make([]byte, 3), 5),
		"7 numbers, want rows of 5":                    run(w, w.NewState(), 7),
		"0 numbers, want rows of 5":                    run(w, w.NewState(), 0),
		"closed":                                       run(closed, closed.NewState(), 5),
		`wave kernels "abacus", want one of [portable`: func() error { _, err := NewWave(1, 1, "abacus", nil); return err }(),
		"a wave of 0 steps":                            func() error { _, err := NewWave(0, 1, "", nil); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}
