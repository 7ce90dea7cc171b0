package codec

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

func fixture(name string) string {
	return filepath.Join("..", "talker", "testdata", name, "checkpoint", "speech_tokenizer")
}

func loaded(t *testing.T, name string, o Options) *Codec {
	t.Helper()
	m, err := Load(fixture(name), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// randomCodes are n frames.
func randomCodes(m *Codec, n int) [][]int32 {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	out := make([][]int32, n)
	for i := range out {
		out[i] = make([]int32, m.Groups())
		for g := range out[i] {
			out[i][g] = r.Int32N(int32(m.Config.Decoder.Codebook))
		}
	}
	return out
}

// tones are n samples of a voice-like sound.
func tones(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		x := float64(i) / 24000
		out[i] = float32(0.2*math.Sin(2*math.Pi*(180+30*math.Sin(9*x))*x) + 0.1*math.Sin(2*math.Pi*1300*x))
	}
	return out
}

// wantClose holds samples to others, each within tol.
func wantClose(t *testing.T, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d samples, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= tol) {
			t.Errorf("%s: sample %d is %v, want %v: off by %.2g, %.2g is allowed", what, i, got[i], want[i], d, tol)
			return
		}
	}
}

// differs tells whether some sample is off by more than tol.
func differs(a, b []float32, tol float64) bool {
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > tol {
			return true
		}
	}
	return len(a) != len(b)
}

// forward decodes in one pass, without pieces.
func forward(t *testing.T, m *Codec, codes [][]int32) (wav []float32) {
	t.Helper()
	var flat []int64
	for _, f := range codes {
		for _, v := range f {
			flat = append(flat, int64(v))
		}
	}
	err := m.run(func(c *nn.Context) (err error) {
		wav, err = tensor.Floats(m.Decoder.Forward(c, c.FromInts(flat, 1, int64(len(codes)), int64(m.Groups()))))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return wav
}

const rounding = 2e-5 // of float32 sums in another order, through all layers; samples are in [-1, 1]

// A piece decoded after others is the same piece of the whole; how the signal is cut does not matter.
func TestStream(t *testing.T) {
	for _, tt := range []struct {
		fixture string
		frames  int
		splits  [][]int // sizes of pushes, the last one repeated
	}{
		{"tiny-sharded", 330, [][]int{{1}, {300}, {7, 1, 13}, {26}, {400}}}, // window 6
		{"tiny-f32", 12, [][]int{{1}, {5}, {3, 1}}},                         // window 5
		{"tiny-bf16", 90, [][]int{{1}, {40}, {89, 1}}},                      // window 72
	} {
		m := loaded(t, tt.fixture, Options{Parts: DecoderOnly})
		codes := randomCodes(m, tt.frames)
		want := forward(t, m, codes)
		for _, split := range tt.splits {
			s, err := m.NewStream()
			if err != nil {
				t.Fatal(err)
			}
			var got []float32
			for rest, i := codes, 0; len(rest) > 0; i++ {
				n := min(split[min(i, len(split)-1)], len(rest))
				wav, err := s.Push(rest[:n])
				if err != nil {
					t.Fatal(err)
				}
				if len(wav) != n*int(m.Config.UpsampleRate) {
					t.Fatalf("%s: %d frames give %d samples", tt.fixture, n, len(wav))
				}
				got, rest = append(got, wav...), rest[n:]
			}
			s.Close()
			wantClose(t, tt.fixture, got, want, rounding)
		}
	}
}

// A stream goes on beyond max_position_embeddings, 8000 frames: positions are computed, not looked up.
func TestLongStream(t *testing.T) {
	m := loaded(t, "tiny-sharded", Options{Parts: DecoderOnly})
	codes, hop := randomCodes(m, 8100), int(m.Config.UpsampleRate)
	got, err := m.DecodeWhole(codes)
	if err != nil {
		t.Fatal(err)
	}
	// Angles of large positions are less exact in float32, in one pass as in a stream: hence the same numbers.
	wantClose(t, "8100 frames", got, forward(t, m, codes), rounding)
	// What is heard depends on distances only, so a signal that starts later is the same once its start is forgotten.
	tail := forward(t, m, codes[8000:])
	wantClose(t, "the last frames", got[8060*hop:], tail[60*hop:], 2e-3)
}

// What a stream keeps does not grow with the signal.
func TestStreamMemory(t *testing.T) {
	m := loaded(t, "tiny-sharded", Options{Parts: DecoderOnly})
	s, err := m.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	kept := func() (n int64) {
		for _, t := range s.h.past {
			size := int64(1)
			for _, d := range t.MustSize() {
				size *= d
			}
			n += size
		}
		return n
	}
	push := func(n int) {
		if _, err := s.Push(randomCodes(m, n)); err != nil {
			t.Fatal(err)
		}
	}
	push(20)
	before, tensors := kept(), len(ts.ExistingTensors)
	push(1)
	push(150)
	if after := kept(); after != before || before == 0 {
		t.Errorf("a stream keeps %d numbers, then %d", before, after)
	}
	if n := len(ts.ExistingTensors); n != tensors {
		t.Errorf("%d tensors live, then %d", tensors, n)
	}
	s.Close()
	if n := kept(); n != 0 {
		t.Errorf("a closed stream keeps %d numbers", n)
	}
	if _, err := s.Push(randomCodes(m, 1)); err == nil {
		t.Error("a closed stream takes codes")
	}
}

// Beyond one chunk, chunked decoding is what each chunk gives with its context alone; it is not the whole's.
func TestChunks(t *testing.T) {
	m := loaded(t, "tiny-sharded", Options{Parts: DecoderOnly})
	hop := int(m.Config.UpsampleRate)
	codes := randomCodes(m, 620)
	whole := forward(t, m, codes)
	got, err := m.Decode(codes)
	if err != nil {
		t.Fatal(err)
	}
	want := append(forward(t, m, codes[:300]), forward(t, m, codes[275:600])[25*hop:]...)
	want = append(want, forward(t, m, codes[575:])[25*hop:]...)
	wantClose(t, "chunks of 300", got, want, rounding)
	got, err = m.DecodeWhole(codes)
	if err != nil {
		t.Fatal(err)
	}
	wantClose(t, "whole", got, whole, rounding)

	// Little context is heard; the first chunk has all it needs.
	got, err = m.DecodeChunked(codes[:40], 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	wantClose(t, "first chunk", got[:10*hop], whole[:10*hop], rounding)
	if !differs(got[10*hop:], whole[10*hop:40*hop], 1e-3) {
		t.Error("two frames of context give what the whole gives")
	}
	wantClose(t, "second chunk", got[10*hop:20*hop], forward(t, m, codes[8:20])[2*hop:], rounding)

	// A chunk that starts within the context has all before it.
	got, err = m.DecodeChunked(codes[:40], 10, 25)
	if err != nil {
		t.Fatal(err)
	}
	wantClose(t, "third chunk", got[20*hop:30*hop], whole[20*hop:30*hop], rounding)
}

func TestDecodeBatch(t *testing.T) {
	m := loaded(t, "tiny-sharded", Options{Parts: DecoderOnly})
	codes := randomCodes(m, 30)
	clips := [][][]int32{codes[:30], codes[:4], codes[5:6]}
	got, err := m.DecodeBatch(clips)
	if err != nil {
		t.Fatal(err)
	}
	for i, clip := range clips {
		want, err := m.Decode(clip)
		if err != nil {
			t.Fatal(err)
		}
		wantClose(t, "clip", got[i], want, 0)
	}
	if out, err := m.DecodeBatch(nil); err != nil || len(out) != 0 {
		t.Errorf("no clips give %v, %v", out, err)
	}
}

// Encoding a clip in pieces is encoding it whole; odd lengths fill their last frame.
func TestEncode(t *testing.T) {
	for _, name := range []string{"tiny-sharded", "tiny-f32"} {
		m := loaded(t, name, Options{Parts: EncoderOnly})
		hop := int(m.Config.DownsampleRate)
		for _, n := range []int{1, hop - 1, hop, hop + 1, 26*hop + 17, 51*hop - hop/2} {
			wav := tones(n)
			got, err := m.Encode(wav)
			if err != nil {
				t.Fatal(err)
			}
			if want := (n + hop - 1) / hop; len(got) != want || len(got[0]) != m.Groups() {
				t.Fatalf("%s: %d samples give %d frames of %d codes, want %d of %d", name, n, len(got), len(got[0]), want, m.Groups())
			}
			err = m.run(func(c *nn.Context) error {
				x := m.Encoder.Latents(c, c.FromFloats(wav, 1, 1, int64(n)))
				flat, err := tensor.Ints(m.Encoder.Quantize(c, x, m.Groups()))
				if off := mismatches(got, rowsOf(flat, m.Groups())); off > len(got)*m.Groups()/100 { // ties of rounding
					t.Errorf("%s, %d samples: %d codes differ from one pass's", name, n, off)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func mismatches(a, b [][]int32) (n int) {
	for i := range a {
		for g := range a[i] {
			if a[i][g] != b[i][g] {
				n++
			}
		}
	}
	return n
}

// The batch is zeros behind each clip, up to the longest, and nothing else.
func TestEncodeBatch(t *testing.T) {
	m := loaded(t, "tiny-sharded", Options{Parts: EncoderOnly})
	hop := int(m.Config.DownsampleRate)
	long, short := tones(9*hop+30), tones(4*hop+7)
	got, err := m.EncodeBatch([][]float32{long, short})
	if err != nil {
		t.Fatal(err)
	}
	padded := make([]float32, len(long))
	copy(padded, short)
	for i, wav := range [][]float32{long, padded} {
		want, err := m.Encode(wav)
		if err != nil {
			t.Fatal(err)
		}
		if n := mismatches(got[i], want[:len(got[i])]); n != 0 {
			t.Errorf("clip %d: %d codes differ from those of the padded clip alone", i, n)
		}
	}
	if len(got[0]) != 10 || len(got[1]) != 5 {
		t.Errorf("clips give %d and %d frames, want 10 and 5", len(got[0]), len(got[1]))
	}
}

// In bfloat16 both halves run, and sound alike.
func TestBFloat16(t *testing.T) {
	m, b := loaded(t, "tiny-f32", Options{}), loaded(t, "tiny-f32", Options{DType: gotch.BFloat16})
	codes := randomCodes(m, 8)
	want, err := m.Decode(codes)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Decode(codes)
	if err != nil {
		t.Fatal(err)
	}
	if db := noise(got, want); db < 15 {
		t.Errorf("signal to noise ratio %.1f dB in bfloat16, want 15", db)
	}
	ids, err := b.Encode(tones(20000))
	if err != nil || len(ids) != 11 {
		t.Errorf("bfloat16 gives %d frames, error %v, want 11", len(ids), err)
	}
}
