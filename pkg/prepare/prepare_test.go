package prepare_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/audio"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/prepare"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/tts"
)

func TestMain(m *testing.M) {
	if err := tensor.SetThreads(1); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const base, custom = "../talker/testdata/tiny-f32/checkpoint", "../talker/testdata/tiny-sharded/checkpoint"

func listener(t *testing.T, dir string) *tts.Listener {
	t.Helper()
	l, err := tts.OpenListener(dir, tts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func tone(t *testing.T, path string, samples int, hz float64) []float32 {
	t.Helper()
	x := make([]float32, samples)
	for i := range x {
		x[i] = float32(0.4 * math.Sin(2*math.Pi*hz*float64(i)/tts.InputRate) * math.Sin(float64(i)/2000))
	}
	if err := audio.Write(path, audio.Clip{Rate: tts.InputRate, Samples: x}, audio.Float32); err != nil {
		t.Fatal(err)
	}
	return x
}

func rows(t *testing.T, dir string, rows ...map[string]any) string {
	t.Helper()
	var text strings.Builder
	for _, r := range rows {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(b, '\n'))
	}
	path := filepath.Join(dir, "in.jsonl")
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// recordings are seven rows, of which two cannot be used.
func recordings(t *testing.T) (dir, in string, waves [][]float32) {
	dir = t.TempDir()
	tone(t, filepath.Join(dir, "ref.wav"), 12000, 150)
	var list []map[string]any
	for i := range 5 {
		name := fmt.Sprintf("a%d.wav", i)
		waves = append(waves, tone(t, filepath.Join(dir, name), 6000+1500*i, 200+40*float64(i)))
		list = append(list, map[string]any{"id": name, "audio": name, "text": "hello", "ref_audio": "ref.wav", "ref_text": "hi", "language": "auto"})
	}
	list = slices.Insert(list, 1, map[string]any{"id": "gone", "audio": "gone.wav", "text": "hello", "ref_audio": "ref.wav"})
	list = append(list, map[string]any{"id": "mute", "audio": "a0.wav", "text": " ", "ref_audio": "ref.wav"})
	return dir, rows(t, dir, list...), waves
}

func job(in, out string, m prepare.Maker) prepare.Job {
	return prepare.Job{In: in, Out: out, Batch: 2, Frame: 80 * time.Millisecond, Maker: m, Track: track.Multi()}
}

func read(t *testing.T, path string) data.List {
	t.Helper()
	l, err := data.ReadFile(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Recordings get the codes of their batch, what prompts need of the voice, and their texts as ids.
func TestRecordings(t *testing.T) {
	dir, in, waves := recordings(t)
	l := listener(t, base)
	out := filepath.Join(dir, "out.jsonl")
	s, err := job(in, out, &prepare.Recordings{Listener: l, Dir: dir}).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	list := read(t, out)
	if len(list) != 5 || s.Utterances != 5 || len(s.Skipped) != 2 || s.Skipped[0].ID != "gone" || s.Skipped[1].ID != "mute" {
		t.Fatalf("%d utterances, summary %+v; want 5 and two skipped", len(list), s)
	}
	var frames int
	for at := 0; at < 5; at += 2 { // the batches
		to := min(at+2, 5)
		codes, err := l.Encode(waves[at:to])
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range codes {
			u := list[at+i]
			frames += len(want)
			if !slices.EqualFunc(u.Codes, want, slices.Equal) {
				t.Errorf("%s: other codes than its batch", u.ID)
			}
		}
	}
	clip, err := audio.Load(filepath.Join(dir, "ref.wav"), tts.InputRate)
	if err != nil {
		t.Fatal(err)
	}
	v, err := l.Clone(clip.Samples, "hi")
	if err != nil {
		t.Fatal(err)
	}
	body, err := l.Text.Body("hello")
	if err != nil {
		t.Fatal(err)
	}
	u := list[3]
	if !slices.Equal(u.Vector, v.Vector) || !slices.Equal(u.RefText, v.Reference.Text) || !slices.EqualFunc(u.RefCodes, v.Reference.Codes, slices.Equal) {
		t.Error("the voice is not that of its recording")
	}
	if !slices.Equal(u.Text, body) || u.From.Text != "hello" || u.From.Audio != "a3.wav" || u.From.RefText != "hi" {
		t.Errorf("text %v, origin %+v", u.Text, u.From)
	}
	if want := 0.08 * float64(frames); math.Abs(s.Seconds-want) > 1e-9 || s.Shortest > s.Median || s.Median > s.Longest {
		t.Errorf("durations %+v, want %v s in all", s, want)
	}
	if _, err := os.Stat(out + ".partial"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the partial file is left: %v", err)
	}
}

// interrupted stops the work after some batches.
type interrupted struct {
	prepare.Maker
	after  int
	cancel func()
}

func (i *interrupted) Make(ctx context.Context, rows []data.Utterance) ([]error, error) {
	if i.after--; i.after == 0 {
		i.cancel()
	}
	return i.Maker.Make(ctx, rows)
}

// An interrupted run, even one whose last line was cut, ends with the bytes of one that was not.
func TestResume(t *testing.T) {
	dir, in, _ := recordings(t)
	l := listener(t, base)
	maker := func() prepare.Maker { return &prepare.Recordings{Listener: l, Dir: dir} }
	whole, parts := filepath.Join(dir, "whole.jsonl"), filepath.Join(dir, "parts.jsonl")
	if _, err := job(in, whole, maker()).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err := job(in, parts, &interrupted{maker(), 2, cancel}).Run(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "-resume goes on after row") {
		t.Fatalf("interrupted: %v", err)
	}
	if _, err := os.Stat(parts); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("an unfinished result has its name: %v", err)
	}
	if _, err := job(in, parts, maker()).Run(context.Background()); err == nil || !strings.Contains(err.Error(), "-resume goes on with it, or remove it") {
		t.Errorf("a second run without -resume: %v", err)
	}
	partial, err := os.ReadFile(parts + ".partial")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(parts+".partial", partial[:len(partial)-30], 0o644); err != nil {
		t.Fatal(err)
	}
	again := job(in, parts, maker())
	again.Resume = true
	other := again
	other.Batch = 3
	if _, err := other.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "begun with batches of 2, now 3") {
		t.Errorf("resumed with other batches: %v", err)
	}
	other = again
	other.Maker = &prepare.Recordings{Listener: l, Dir: dir, Longest: time.Hour}
	if _, err := other.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("resumed with other settings: %v", err)
	}
	s, err := again.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(parts)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Error("the resumed result has other bytes")
	}
	if s.Utterances != 5 || len(s.Skipped) != 2 {
		t.Errorf("summary of the resumed run %+v", s)
	}
	if _, err := again.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a third run: %v", err)
	}
}

// rival starts the same work while it is done.
type rival struct {
	prepare.Maker
	start func() error
	err   error
}

func (r *rival) Make(ctx context.Context, rows []data.Utterance) ([]error, error) {
	r.err = r.start()
	return r.Maker.Make(ctx, rows)
}

// The same result is made by one process at a time; who comes second leaves the work alone.
func TestOneAtATime(t *testing.T) {
	dir, in, _ := recordings(t)
	l := listener(t, base)
	out := filepath.Join(dir, "out.jsonl")
	r := &rival{Maker: &prepare.Recordings{Listener: l, Dir: dir}}
	r.start = func() error {
		second := job(in, out, &prepare.Recordings{Listener: l, Dir: dir})
		second.Resume = true
		_, err := second.Run(context.Background())
		return err
	}
	s, err := job(in, out, r).Run(context.Background())
	if err != nil || s.Utterances != 5 {
		t.Errorf("the first: %v, %+v", err, s)
	}
	if r.err == nil || !strings.Contains(r.err.Error(), "out.jsonl.partial is in use by another process") {
		t.Errorf("the second: %v", r.err)
	}
}

func TestNothingUsable(t *testing.T) {
	dir := t.TempDir()
	l := listener(t, base)
	tone(t, filepath.Join(dir, "long.wav"), 48000, 200)
	tone(t, filepath.Join(dir, "short.wav"), 200, 200)
	if err := audio.Write(filepath.Join(dir, "loud.wav"), audio.Clip{Rate: tts.InputRate, Samples: []float32{1, 100}}, audio.Float32); err != nil {
		t.Fatal(err)
	}
	for want, row := range map[string]map[string]any{
		`key "audio" is missing`:                 {"text": "a", "ref_audio": "long.wav"},
		`key "text" is missing`:                  {"audio": "long.wav", "ref_audio": "long.wav"},
		"lasts 2s, want at most 1s":              {"audio": "long.wav", "text": "a", "ref_audio": "long.wav"},
		"loud.wav: sample 1 is 100":              {"audio": "loud.wav", "text": "a", "ref_audio": "long.wav"},
		`key "ref_audio" is missing`:             {"audio": "short.wav", "text": "a"},
		"ref_audio: ":                            {"audio": "short.wav", "text": "a", "ref_audio": "short.wav"},
		`key "audio_codes" is there already`:     {"audio": "long.wav", "text": "a", "audio_codes": [][]int{{1}}},
		"missing.wav: no such file or directory": {"audio": "missing.wav", "text": "a"},
	} {
		in := rows(t, dir, row)
		out := filepath.Join(dir, "out.jsonl")
		j := job(in, out, &prepare.Recordings{Listener: l, Dir: dir, Longest: time.Second})
		_, err := j.Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), "none of 1 rows can be used") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", row, err, want)
		}
		if _, err := os.Stat(out + ".partial"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v: a file without an utterance is left: %v", row, err)
		}
	}
	for want, text := range map[string]string{
		"no utterances":          "\n",
		`unknown key "txt"`:      `{"txt":"a"}`,
		"not a JSON object":      `[1]`,
		"already used in line 1": "{\"id\":\"a\"}\n{\"id\":\"a\"}",
	} {
		in := filepath.Join(dir, "bad.jsonl")
		if err := os.WriteFile(in, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := job(in, filepath.Join(dir, "out.jsonl"), &prepare.Recordings{Listener: l}).Run(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}
