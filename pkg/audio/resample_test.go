package audio

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// tone is a sine of amplitude 0.5, n samples.
func tone(hz float64, rate, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(0.5 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)+0.3))
	}
	return x
}

func resampled(t testing.TB, x []float32, from, to int) []float32 {
	t.Helper()
	y, err := Resample(x, from, to)
	if err != nil {
		t.Fatal(err)
	}
	if want := (len(x)*to + from - 1) / from; len(y) != want {
		t.Fatalf("%d samples from %d to %d Hz: %d, want %d", len(x), from, to, len(y), want)
	}
	return y
}

func power(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum / float64(len(x))
}

// middle leaves out the edges, where the signal begins and ends.
func middle(x []float32) []float32 { return x[len(x)/8 : len(x)-len(x)/8] }

// snr of a sine after resampling, in dB, against the same sine sampled at the new rate.
func snr(t testing.TB, hz float64, from, to int) float64 {
	t.Helper()
	got := middle(resampled(t, tone(hz, from, from), from, to))
	want := middle(tone(hz, to, to))
	diff := make([]float32, len(got))
	for i := range got {
		diff[i] = got[i] - want[i]
	}
	return 10 * math.Log10(power(want)/power(diff))
}

var speechRates = []int{8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000}

func TestSignalToNoise(t *testing.T) {
	for _, from := range speechRates {
		for _, to := range []int{24000, 16000} {
			if from == to {
				continue
			}
			nyquist := float64(min(from, to)) / 2
			for _, hz := range []float64{60, 1000, nyquist / 2, 0.9 * nyquist} {
				if got := snr(t, hz, from, to); got < 105 {
					t.Errorf("%d to %d Hz at %.0f Hz: SNR %.1f dB, want at least 105", from, to, hz, got)
				} else if hz == 1000 {
					t.Logf("%d to %d Hz at 1 kHz: SNR %.1f dB", from, to, got)
				}
			}
		}
	}
}

// Whatever is above the new Nyquist frequency must be gone, not folded down.
func TestAliases(t *testing.T) {
	for _, from := range speechRates {
		for hz := 12000.0; hz < float64(from)/2; hz += 811 {
			x := tone(hz, from, from)
			got := 10 * math.Log10(power(middle(resampled(t, x, from, 24000)))/power(x))
			if got > -100 {
				t.Errorf("%d Hz: a tone of %.0f Hz is left with %.1f dB, want -100 or less", from, hz, got)
			}
		}
	}
}

// Sines of the whole pass band keep their amplitude.
func TestPassBandIsFlat(t *testing.T) {
	for _, from := range speechRates {
		nyquist := float64(min(from, 24000)) / 2
		for part := 0.02; part < pass; part += 0.11 {
			x := tone(part*nyquist, from, from)
			y := middle(resampled(t, x, from, 24000))
			gain := 10 * math.Log10(power(y)/power(middle(tone(part*nyquist, 24000, 24000))))
			if math.Abs(gain) > 1e-3 {
				t.Errorf("%d to 24000 Hz at %.0f Hz: gain %.5f dB, want 0", from, part*nyquist, gain)
			}
		}
	}
}

// naive is the definition in float64, without phases, rows or edges: an integral over all inputs.
func naive(x []float32, from, to int) []float64 {
	lower := min(1, float64(to)/float64(from))
	out := make([]float64, int(math.Ceil(float64(len(x))*float64(to)/float64(from))))
	for k := range out {
		at := float64(k) * float64(from) / float64(to)
		sum, norm := 0.0, 0.0
		for j := -2000; j < len(x)+2000; j++ {
			d := (at - float64(j)) * lower
			w := sinc(cutoff*d) * kaiser(d/reach)
			norm += w
			if j >= 0 && j < len(x) {
				sum += w * float64(x[j])
			}
		}
		out[k] = sum / norm
	}
	return out
}

func TestAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, rates := range [][2]int{{44100, 24000}, {24000, 44100}, {8000, 24000}, {48000, 24000}, {1000, 2999}, {19997, 6007}} {
		for _, n := range []int{0, 1, 2, 3, 257} {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(r.NormFloat64())
			}
			got, want := resampled(t, x, rates[0], rates[1]), naive(x, rates[0], rates[1])
			for k := range want {
				if math.Abs(float64(got[k])-want[k]) > 2e-6 {
					t.Fatalf("%v, %d samples: sample %d is %v, want %v", rates, n, k, got[k], want[k])
				}
			}
		}
	}
}

func TestConstantStays(t *testing.T) {
	x := make([]float32, 4000)
	for i := range x {
		x[i] = 1
	}
	for _, from := range speechRates {
		for i, v := range middle(resampled(t, x, from, 24000)) {
			if math.Abs(float64(v)-1) > 1e-6 {
				t.Fatalf("from %d Hz: sample %d is %v, want 1", from, i, v)
			}
		}
	}
}

// A ratio whose filters would fill the memory makes them one by one; the numbers are the same.
func TestBankThatIsNotKept(t *testing.T) {
	if b := newBank(767999, 768000); b.rows != nil || len(b.scratch) == 0 {
		t.Fatal("a bank of 121 million coefficients is kept")
	}
	if got := snr(t, 1000, 47999, 24000); got < 105 {
		t.Errorf("47999 to 24000 Hz: SNR %.1f dB", got)
	}
	x := tone(1000, 8000, 80)
	want := resampled(t, x, 8000, 24000)
	b := bankFor(8000, 24000)
	fresh := &bank{up: b.up, down: b.down, half: b.half, scale: b.scale, scratch: make([]float32, 2*b.half)}
	for k := range want {
		if got := fresh.at(x, k/3, k%3); got != want[k] {
			t.Fatalf("sample %d is %v, want %v", k, got, want[k])
		}
	}
}

func TestEqualRatesCopy(t *testing.T) {
	x := []float32{1, 2, 3}
	y := resampled(t, x, 24000, 24000)
	if y[0] = 9; x[0] != 1 {
		t.Error("the result shares the input's memory")
	}
}

func TestRatesOutOfRange(t *testing.T) {
	for _, rates := range [][2]int{{0, 24000}, {24000, 0}, {-8000, 24000}, {24000, 1 << 40}, {999, 24000}} {
		_, err := Resample(make([]float32, 10), rates[0], rates[1])
		want := fmt.Sprintf("resample from %d to %d Hz: sample rate", rates[0], rates[1])
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", rates, err, want)
		}
	}
}

func BenchmarkResample(b *testing.B) {
	for _, from := range []int{8000, 16000, 44100, 48000} {
		b.Run(fmt.Sprintf("%d_to_24000", from), func(b *testing.B) {
			x := tone(440, from, 10*from)
			for b.Loop() {
				resampled(b, x, from, 24000)
			}
			b.ReportMetric(10*float64(b.N)/b.Elapsed().Seconds(), "s_audio/s")
		})
	}
}
