package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/audio"
	"github.com/qakd/qakd/pkg/experiment"
)

const (
	base   = "../../pkg/talker/testdata/tiny-f32/checkpoint"     // 1920 samples a frame
	custom = "../../pkg/talker/testdata/tiny-sharded/checkpoint" // 120
)

func TestMain(m *testing.M) {
	if err := tensor.SetThreads(1); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// start runs the program with a command line; ctx ends it.
func start(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	fs := flag.NewFlagSet("synthesize", flag.ContinueOnError)
	var f flags
	f.register(fs)
	var out, log bytes.Buffer
	fs.SetOutput(&log)
	code = experiment.Main(fs, append([]string{"-threads", "1"}, args...), func(context.Context) error { return run(ctx, &out, &log, f) })
	return out.String(), log.String(), code
}

// reference is a recording of a second.
func reference(t *testing.T) string {
	t.Helper()
	x := make([]float32, 24000)
	for i := range x {
		x[i] = float32(0.3 * math.Sin(float64(i)*0.05) * math.Sin(float64(i)/3000))
	}
	path := filepath.Join(t.TempDir(), "ref.wav")
	if err := audio.Write(path, audio.Clip{Rate: 24000, Samples: x}, audio.PCM16); err != nil {
		t.Fatal(err)
	}
	return path
}

// In each way to get a voice: a WAV of frames × samples per frame at 24 kHz, a JSON object that tells of it and nothing
// else on stdout, and the same sound where it is written while it is drawn, but for rounding.
func TestSpeech(t *testing.T) {
	ref := reference(t)
	for name, tt := range map[string]struct {
		hop  int
		args []string
	}{
		"preset":     {120, []string{"-model", custom, "-speaker", "Ryan", "-language", "English", "-instruct", "softly"}},
		"vector":     {1920, []string{"-model", base, "-ref-audio", ref}},
		"in context": {1920, []string{"-model", base, "-ref-audio", ref, "-ref-text", "one second", "-layout", "whole"}},
	} {
		var clips []audio.Clip
		for _, stream := range []string{"-stream=false", "-stream"} {
			out := filepath.Join(t.TempDir(), "out.wav")
			stdout, stderr, code := start(t.Context(), append(tt.args, "-text", "hello world", "-out", out, "-json", stream, "-set", "min_new_tokens=9", "-set", "max_new_tokens=30")...)
			var r result
			if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != 0 {
				t.Fatalf("%s: code %d, %v: %s%s", name, code, err, stdout, stderr)
			}
			c, err := audio.Read(out)
			if err != nil {
				t.Fatal(err)
			}
			if c.Rate != 24000 || r.Frames < 9 || len(c.Samples) != r.Frames*tt.hop || r.Samples != len(c.Samples) || r.Rate != c.Rate || r.Out != out {
				t.Errorf("%s: %d samples at %d Hz, result %+v", name, len(c.Samples), c.Rate, r)
			}
			if r.FirstFrame <= 0 || r.FirstPacket < r.FirstFrame || r.Total < r.FirstPacket || math.Abs(r.RealTime-r.Total/r.Seconds) > 1e-6*r.RealTime {
				t.Errorf("%s: times %+v", name, r)
			}
			if !strings.HasPrefix(stderr, "1 frames ") {
				t.Errorf("%s: no progress: %q", name, stderr)
			}
			clips = append(clips, c)
		}
		if len(clips[0].Samples) != len(clips[1].Samples) {
			t.Fatalf("%s: %d samples at the end, %d on the way", name, len(clips[0].Samples), len(clips[1].Samples))
		}
		for i, v := range clips[0].Samples {
			if d := math.Abs(float64(v - clips[1].Samples[i])); d > 1.5/(1<<15) {
				t.Fatalf("%s: sample %d is %v at the end, %v on the way", name, i, v, clips[1].Samples[i])
			}
		}
	}
}

// Each slip is one message, and no file.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	out, junk := filepath.Join(dir, "out.wav"), filepath.Join(dir, "junk.wav")
	if err := os.WriteFile(junk, []byte("RIFF but no more"), 0o644); err != nil {
		t.Fatal(err)
	}
	preset := []string{"-model", custom, "-text", "a", "-speaker", "ryan", "-out", out}
	with := func(args ...string) []string { return append(preset[:len(preset):len(preset)], args...) }
	for want, tt := range map[string]struct {
		code int
		args []string
	}{
		"3 to 7":                                          {2, []string{"-text", "ab", "-out", out}}, // a word of the demo's language
		"-out is missing":                                 {2, []string{"-model", custom, "-text", "a"}},
		"-text is missing or empty":                       {2, with("-text", " ")},
		"-ref-text is what -ref-audio says":               {2, with("-ref-text", "a")},
		"-ref-audio and -speaker are two voices":          {2, with("-ref-audio", "a.wav")},
		`-layout is "sideways"`:                           {2, with("-layout", "sideways")},
		`-dtype is "int8", want float32 or bfloat16`:      {2, with("-dtype", "int8")},
		`did you mean "temperature"?`:                     {2, with("-set", "temprature=1")},
		`key "temperature": value 0, want at least 0.001`: {2, with("-set", "temperature=0")},
		`unexpected argument "b"`:                         {2, with("b")},
		`speaker "nobody" is not in spk_id, want one of ["dylan" "ryan" "serena"]`: {1, with("-speaker", "nobody")},
		`language "klingon" is not known, want auto or one of`:                     {1, with("-language", "klingon")},
		"nowhere/config.json: no such file":                                        {1, with("-model", "nowhere")},
		"no/out.wav: no such file or directory":                                    {1, with("-out", filepath.Join(dir, "no", "out.wav"))},
		"it is a folder, want the path of a file":                                  {1, with("-out", dir)},
		"a \"base\" checkpoint has no preset speakers":                             {1, with("-model", base)},
		"not a WAV file":                       {1, []string{"-model", base, "-text", "a", "-ref-audio", junk, "-out", out}},
		"wants the vector of a voice to clone": {1, []string{"-model", base, "-text", "a", "-out", out}},
	} {
		stdout, stderr, code := start(t.Context(), tt.args...)
		if code != tt.code || !strings.Contains(stderr, want) || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: code %d, want %d, %q; printed %q; stderr %q", tt.args, code, tt.code, want, stdout, stderr)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, stderr, code := start(ctx, preset...); code != experiment.ExitInterrupted {
		t.Errorf("interrupted: code %d, %s", code, stderr)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// Without a checkpoint the demo teacher speaks, in its own language and one of its voices.
func TestDemo(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.wav")
	stdout, stderr, code := start(context.Background(), "-text", "cabfm", "-speaker", "hugo", "-json", "-out", out)
	var r result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != 0 || !r.Ended || r.Samples != r.Frames*1920 {
		t.Fatalf("exit %d, %+v (%v): %s", code, r, err, stderr)
	}
	clip, err := audio.Read(out)
	if err != nil || clip.Rate != 24000 || len(clip.Samples) != r.Samples {
		t.Fatalf("%d samples at %d Hz (%v), want %d at 24000", len(clip.Samples), clip.Rate, err, r.Samples)
	}
	var energy float64
	for _, x := range clip.Samples {
		energy += float64(x) * float64(x)
	}
	if loud := math.Sqrt(energy / float64(len(clip.Samples))); loud < 0.01 {
		t.Errorf("the sound's level is %v: that is silence", loud)
	}
}
