package tts_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/testkit"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/tts"
	"github.com/sugarme/gotch"
)

// The student of a checkpoint, packed or not, speaks like any other; what its folder lacks comes from its teacher's.
func TestStudentsSpeak(t *testing.T) {
	teacher := filepath.Join(fixture("tiny-f32"), "checkpoint")
	m, err := talker.Load(teacher, talker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	cfg := qat.DefaultConfig()
	if _, err := qat.Prepare(m, cfg); err != nil {
		t.Fatal(err)
	}
	student, packed := filepath.Join(t.TempDir(), "student"), filepath.Join(t.TempDir(), "packed")
	if err := qat.SaveStudent(student, m, qat.SaveOptions{Source: teacher}); err != nil {
		t.Fatal(err)
	}
	if err := qat.Convert(m); err != nil {
		t.Fatal(err)
	}
	if _, err := qat.SaveCheckpoint(packed, m, qat.SaveOptions{Source: teacher}); err != nil {
		t.Fatal(err)
	}
	if _, err := tts.Open(student, tts.Options{}); err == nil || !strings.Contains(err.Error(), "speech_tokenizer") || !strings.Contains(err.Error(), "teacher's folder") {
		t.Errorf("a student alone: %v, want an error that says what it lacks and what helps", err)
	}
	recording := openGoldens(t, "tiny-f32").samples("ref_wav")
	speak := func(dir, parts string) *tts.Sound {
		s := open(t, dir, tts.Options{Parts: parts})
		if native := s.Steppers.Kernels != ""; native != (dir != student) || native == (s.Steppers.Why != nil) {
			t.Errorf("%s: native kernels %q, because %v; want them for float and packed weights", dir, s.Steppers.Kernels, s.Steppers.Why)
		}
		if dir == packed && (s.Packed == nil || s.Packed.Swapped == 0 || len(s.Packed.Left) > 0) {
			t.Errorf("packed layers became %+v, want our kernels for all", s.Packed)
		}
		v, err := s.Clone(recording, "hello")
		if err != nil {
			t.Fatal(err)
		}
		sound, err := s.Speak(context.Background(), tts.Line{ID: "a", Text: "hello world", Voice: v}, greedy(s, 8), nil)
		if err != nil {
			t.Fatal(err)
		}
		return sound
	}
	float, fake, ints := speak(teacher, ""), speak(student, teacher), speak(packed, "")
	if !slices.Equal(flat(fake.Codes), flat(ints.Codes)) {
		t.Errorf("the student draws %v, packed %v, want the same", flat(fake.Codes), flat(ints.Codes))
	}
	if slices.Equal(flat(float.Codes), flat(ints.Codes)) {
		t.Errorf("the packed student draws just what its teacher does: was it quantized at all?")
	}
}

// Checkpoints of the same shapes and configuration are told apart by what their tensors hold, and by the dtype.
func TestFingerprint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(fixture("tiny-f32"), "checkpoint"))); err != nil {
		t.Fatal(err)
	}
	print := func(o tts.Options) string {
		l, err := tts.OpenListener(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		p, err := l.Fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	was := print(tts.Options{})
	if print(tts.Options{}) != was {
		t.Error("a checkpoint differs from itself")
	}
	if print(tts.Options{DType: gotch.BFloat16}) == was {
		t.Error("the dtype makes no difference")
	}
	path := filepath.Join(dir, "model.safetensors")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[8+binary.LittleEndian.Uint64(b)] ^= 1 // the first byte behind the header
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if print(tts.Options{}) == was {
		t.Error("other weights make no difference")
	}
}

// What is cut off is the reference implementation's share of the samples. 1/49 of 49·1920 is 1919.99… in float64, so one
// sample of the reference stays; at 2 of 50 frames none does.
func TestReferenceIsCutAsTheReferenceDoes(t *testing.T) {
	s := open(t, filepath.Join(fixture("tiny-f32"), "checkpoint"), tts.Options{})
	codes := make([][]int32, 50)
	for i := range codes {
		codes[i] = make([]int32, s.Config.Groups())
		codes[i][0] = int32(i)
	}
	whole, err := s.Decode(tts.Line{}, codes)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ ref, all, cut int }{{1, 49, 1919}, {2, 49, 3839}, {1, 50, 1920}, {2, 50, 3840}} {
		l := tts.Line{Voice: &tts.Voice{Reference: &talker.Reference{Codes: codes[:tt.ref]}}}
		got, err := s.Decode(l, codes[tt.ref:tt.all])
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("%d of %d frames", tt.ref, tt.all), got, whole[tt.cut:tt.all*s.Hop()], 1e-6)
	}
}

// Whether a line is decoded along the way or at the end, the same codes are drawn. The same seed gives the same speech,
// another one another.
func TestSeeds(t *testing.T) {
	s := open(t, filepath.Join(fixture("tiny-sharded"), "checkpoint"), tts.Options{})
	say := s.Stream
	draw := func(seed int64) []int32 {
		sampling := s.Sampling
		sampling.Seed, sampling.MaxNewTokens, sampling.MinNewTokens = seed, 12, 12
		sound, err := say(context.Background(), tts.Line{ID: "a", Text: "hello", Speaker: "Ryan"}, sampling, nil)
		if err != nil {
			t.Fatal(err)
		}
		return flat(sound.Codes)
	}
	one := draw(1)
	if !slices.Equal(one, draw(1)) {
		t.Error("the same seed gave other codes")
	}
	if slices.Equal(one, draw(2)) {
		t.Error("another seed gave the same codes")
	}
	if say = s.Speak; !slices.Equal(one, draw(1)) {
		t.Error("decoding at the end gave other codes")
	}
}

// A sink sees every sample once, in order, and its error ends the speech.
func TestSink(t *testing.T) {
	s := open(t, filepath.Join(fixture("tiny-sharded"), "checkpoint"), tts.Options{})
	sampling := greedy(s, 12)
	sampling.MinNewTokens = 12
	l := tts.Line{ID: "a", Text: "hello", Speaker: "ryan"}
	var heard []float32
	var frames []int
	sound, err := s.Stream(context.Background(), l, sampling, func(n int, samples []float32) error {
		frames = append(frames, n)
		if n == 1 && len(samples) != s.Hop() {
			t.Errorf("the first packet has %d samples, want one frame, %d", len(samples), s.Hop())
		}
		heard = append(heard, samples...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(heard, sound.Samples) || len(heard) != 11*s.Hop() {
		t.Errorf("the sink heard %d samples, the sound has %d, want %d", len(heard), len(sound.Samples), 11*s.Hop())
	}
	if !slices.IsSorted(frames) || frames[len(frames)-1] != 11 {
		t.Errorf("frames were told as %v, want up to 11", frames)
	}
	if tm := sound.Timing; tm.FirstFrame <= 0 || tm.FirstSound < tm.FirstFrame || tm.Total < tm.FirstSound {
		t.Errorf("timing %+v, want first frame, then first sound, then the end", tm)
	}
	full := errors.New("disk full")
	stop := func(int, []float32) error { return full }
	for how, say := range map[string]func(context.Context, tts.Line, talker.Sampling, tts.Sink) (*tts.Sound, error){"whole": s.Speak, "stream": s.Stream} {
		if _, err := say(context.Background(), l, sampling, stop); !errors.Is(err, full) {
			t.Errorf("%s: error %v, want the sink's", how, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Speak(ctx, l, sampling, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	late := testkit.NewFuse(1 << 20)
	if _, err := s.Speak(late, l, sampling, nil); err != nil {
		t.Fatal(err)
	}
	late.Left = 1<<20 - late.Left - 1 // asked once less
	if _, err := s.Speak(late, l, sampling, nil); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), `tts: line "a": `) {
		t.Errorf("canceled while the codes are decoded: %v", err)
	}
}

func TestRefusedLines(t *testing.T) {
	base := open(t, filepath.Join(fixture("tiny-f32"), "checkpoint"), tts.Options{})
	custom := open(t, filepath.Join(fixture("tiny-sharded"), "checkpoint"), tts.Options{})
	voice, err := base.Clone(openGoldens(t, "tiny-f32").samples("ref_wav"), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		s    *tts.Synthesizer
		l    tts.Line
		want string
	}{
		{custom, tts.Line{Speaker: "ryan"}, "the text is empty"},
		{custom, tts.Line{Text: " \n", Speaker: "ryan"}, "only white space"},
		{custom, tts.Line{Text: "\xff", Speaker: "ryan"}, "no UTF-8"},
		{custom, tts.Line{Text: "a", Speaker: "nobody"}, `speaker "nobody" is not in spk_id, want one of ["dylan"`},
		{custom, tts.Line{Text: "a", Speaker: "ryan", Language: "klingon"}, `language "klingon" is not known, want auto or one of ["chinese"`},
		{custom, tts.Line{Text: "a"}, `no voice is given, but a "custom_voice" checkpoint wants one of its speakers`},
		{custom, tts.Line{Text: "a", Speaker: "ryan", Voice: voice}, "want one of them"},
		{custom, tts.Line{Text: "a", Voice: voice}, "cloning needs a base checkpoint"},
		{custom, tts.Line{Text: "a", Speaker: "ryan", Layout: "sideways"}, `layout "sideways", want one of`},
		{base, tts.Line{Text: "a", Speaker: "ryan"}, `a "base" checkpoint has no preset speakers`},
		{base, tts.Line{Text: "a", Voice: voice, Instruct: "softly"}, "an instruction is given"},
		{base, tts.Line{Text: "a"}, "the vector of a voice to clone"},
	} {
		if _, err := tt.s.Speak(context.Background(), tt.l, tt.s.Sampling, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want %q", tt.l, err, tt.want)
		}
	}
	if _, err := custom.Clone(make([]float32, 48000), ""); err == nil || !strings.Contains(err.Error(), `clones no voices`) {
		t.Errorf("custom voice clone: %v", err)
	}
	base.Config.Talker.MaxPositions = 64
	if _, err := base.Speak(context.Background(), tts.Line{Text: strings.Repeat("long ", 99), Voice: voice}, base.Sampling, nil); err == nil || !strings.Contains(err.Error(), "max_position_embeddings 64") {
		t.Errorf("a text beyond the positions: %v", err)
	}
}

func TestRefusedFolders(t *testing.T) {
	whole := filepath.Join(fixture("tiny-f32"), "checkpoint")
	other := filepath.Join(fixture("tiny-sharded"), "checkpoint") // 4 codes a frame
	bare := t.TempDir()
	if err := os.CopyFS(bare, os.DirFS(whole)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"speech_tokenizer", "vocab.json"} {
		if err := os.RemoveAll(filepath.Join(bare, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		dir, parts string
		want       []string
	}{
		{bare, "", []string{"vocab.json", "teacher's folder"}},
		{bare, other, []string{"4 codes a frame, want 16"}},
		{filepath.Join(bare, "nothing"), "", []string{"nothing"}},
	} {
		_, err := tts.Open(tt.dir, tts.Options{Parts: tt.parts})
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s with parts %q: error %v, want %q", tt.dir, tt.parts, err, want)
			}
		}
	}
	s := open(t, bare, tts.Options{Parts: whole})
	if len(nn.Params(s.Model)) == 0 {
		t.Error("no parameters")
	}
}
