package finetune_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/audio"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/finetune"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

// slot is a row of the tiny codec embedding (1088 rows) that nothing uses.
const slot = 1080

func source(fixture string) string { return filepath.Join("../talker/testdata", fixture, "checkpoint") }

func load(t *testing.T, dir string, dtype gotch.DType) *talker.Model {
	t.Helper()
	m, err := talker.Load(dir, talker.Options{DType: dtype})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// clip writes a reference of half a second at a rate.
func clip(t *testing.T, rate int) string {
	t.Helper()
	x := make([]float32, rate/2)
	for i := range x {
		at := float64(i) / float64(rate)
		x[i] = float32(0.3*math.Sin(2*math.Pi*180*at) + 0.1*math.Sin(2*math.Pi*1300*at))
	}
	path := filepath.Join(t.TempDir(), fmt.Sprintf("ref-%d.wav", rate))
	if err := audio.Write(path, audio.Clip{Rate: rate, Samples: x}, audio.PCM16); err != nil {
		t.Fatal(err)
	}
	return path
}

// line is a row of the data as it lies in a file; nil values are left out.
type line map[string]any

// lines are n rows of texts and random codes with one reference clip.
func lines(n, groups int, ref string) []line {
	r := rand.New(rand.NewPCG(1, 2))
	var out []line
	for i := range n {
		frames := make([][]int, 3+i%4)
		for f := range frames {
			for range groups {
				frames[f] = append(frames[f], r.IntN(64))
			}
		}
		out = append(out, line{"audio": fmt.Sprintf("%d.wav", i), "text": fmt.Sprintf("this is an assistant %d", i), "ref_audio": ref, "audio_codes": frames})
	}
	return out
}

func write(t *testing.T, rows []line) string {
	t.Helper()
	var b bytes.Buffer
	for _, row := range rows {
		text, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	path := filepath.Join(t.TempDir(), "ada.jsonl")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// read is the rows of a file for a fixture's checkpoint, and what the reader remarked.
func read(t *testing.T, fixture, path string) (data.List, string, error) {
	t.Helper()
	cfg, err := talker.ReadConfig(source(fixture))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := finetune.Reader{Source: source(fixture), Config: cfg, Log: &log}
	defer r.Close()
	l, err := r.Read(path)
	return l, log.String(), err
}

// rows of n utterances.
func rows(t *testing.T, fixture string, n int) data.List {
	t.Helper()
	l, _, err := read(t, fixture, write(t, lines(n, 16, clip(t, 24000))))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// config trains visibly in a few updates.
func config() finetune.Config {
	c := finetune.DefaultConfig()
	c.Data, c.Speaker, c.Slot, c.Epochs, c.Optim.LR = "ada.jsonl", "ada", slot, 2, 1e-3
	return c
}

// values of all parameters, by name.
func values(t *testing.T, m nn.Module) map[string][]float32 {
	t.Helper()
	out := map[string][]float32{}
	for _, p := range nn.Params(m) {
		v, err := tensor.Floats(p.T)
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name] = v
	}
	return out
}
