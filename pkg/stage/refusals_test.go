package stage_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/stage"
)

// files are four sets of utterances that the built-in teacher reads, and the settings that name them.
func files(t *testing.T) (dir string, sets []string) {
	t.Helper()
	dir = t.TempDir()
	source, err := demo.TeacherDir()
	must(t, err)
	sets = append(slices.Clone(small), "model="+source)
	for _, split := range []demo.Split{demo.Calibration, demo.Distillation, demo.Selection, demo.Evaluation} {
		set, err := demo.New().Set(split, 1, 8)
		must(t, err)
		path := filepath.Join(dir, split.String()+".jsonl")
		f, err := os.Create(path)
		must(t, err)
		w := data.NewWriter(f)
		for i := range set.Len() {
			u, err := set.At(i)
			must(t, err)
			must(t, w.Write(u))
		}
		must(t, w.Flush())
		must(t, f.Close())
		sets = append(sets, fmt.Sprintf("data.%v=%s", split, path))
	}
	return dir, sets
}

// A line that the teacher cannot read is an error before the first stage, whatever file it is in.
func TestDataIsCheckedFirst(t *testing.T) {
	dir, sets := files(t)
	r, err := open(t, t.TempDir(), false, sets)
	must(t, err)
	must(t, r.Close())
	text, err := os.ReadFile(filepath.Join(dir, "evaluation.jsonl"))
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"speaker", "zoe", `speaker "zoe" is not in spk_id`},
		{"language", "klingon", `language "klingon"`},
		{"text_ids", []int{1 << 30}, "text_ids[0] is 1073741824"},
		{"audio_codes", [][]int{slices.Repeat([]int{999}, 16)}, "audio_codes[0][0] is 999"},
	} {
		var row map[string]any
		must(t, json.Unmarshal([]byte(lines[2]), &row))
		row = maps.Clone(row)
		row[c.key] = c.value
		last, err := json.Marshal(row)
		must(t, err)
		path := filepath.Join(dir, "bad.jsonl")
		must(t, os.WriteFile(path, []byte(lines[0]+"\n"+string(last)+"\n"), 0o644))
		_, err = open(t, t.TempDir(), false, append(sets, "data.evaluation="+path))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("a bad %s gives %v, want it to name the file and %q", c.key, err, c.want)
		}
	}
}

// A file with fewer utterances than the experiment asks for is an error before the first stage, that says what to do.
func TestTooFewUtterances(t *testing.T) {
	dir, sets := files(t)
	for key, file := range map[string]string{"calib.utterances": "calibration", "data.selection_size": "selection", "eval.utterances": "evaluation"} {
		_, err := open(t, t.TempDir(), false, append(slices.Clone(sets), key+"=9"))
		want := fmt.Sprintf("%s: %s is 9, but there are 8 utterances: add some, or lower %[2]s to 8", filepath.Join(dir, file+".jsonl"), key)
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// A run that failed before it made anything does not keep its folder from another experiment.
func TestFailureBindsNobody(t *testing.T) {
	dir, sets := files(t)
	run := filepath.Join(dir, "run")
	if _, err := open(t, run, false, append(sets, "data.selection="+filepath.Join(dir, "none.jsonl")), stage.PackedDir); err == nil {
		t.Fatal("a file that is not there is accepted")
	}
	r, err := open(t, run, false, sets, stage.PackedDir)
	if err != nil {
		t.Fatalf("after the setting is put right: %v", err)
	}
	must(t, r.Close())
}

func TestEveryViolationNamesItsSection(t *testing.T) {
	_, _, err := stage.Resolve(experiment.Flags{Experiment: "demo-w4a8", Set: []string{
		"train.steps=0", "train.micro_batch=0", "train.optim.lr=-1", "train.optim.eps=0", "quant.weight.bits=3", "quant.include=[]",
	}})
	if err == nil {
		t.Fatal("bad values are accepted")
	}
	for _, want := range []string{"train: steps is 0", "train: micro_batch is 0", "quant: weight bits 3", "quant: include is empty"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "train: optim"); n != 2 {
		t.Errorf("%d lines name train: optim, want 2:\n%v", n, err)
	}
}

// A flag that is given wins over the file, also with the value that would be the default.
func TestDeviceFlagWins(t *testing.T) {
	e, _, err := stage.Resolve(experiment.Flags{Experiment: "demo-w4a8", Set: []string{"device=cpu"}, Device: "auto"})
	if err != nil || e.Device != "auto" {
		t.Errorf("device %q, %v, want auto", e.Device, err)
	}
}

// The seed is the experiment's: a key that would be overwritten is none.
func TestOneSeed(t *testing.T) {
	if _, _, err := stage.Resolve(experiment.Flags{Experiment: "demo-w4a8", Set: []string{"train.seed=2"}}); err == nil {
		t.Error("train.seed is accepted, but seed decides")
	}
}

// With -json, stdout holds one JSON object, also for -dry-run.
func TestDryRunAsJSON(t *testing.T) {
	args, stdout := os.Args, os.Stdout
	defer func() { os.Args, os.Stdout = args, stdout }()
	f, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	must(t, err)
	defer f.Close()
	os.Args, os.Stdout = []string{"student", "-dry-run", "-json", "-set", "seed=5"}, f
	if code := (stage.Program{Name: "student"}).Main(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	text, err := os.ReadFile(f.Name())
	must(t, err)
	var got struct {
		Experiment string
		Values     []experiment.Value
		Plan       struct{ Layers []any }
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("stdout is no JSON object: %v\n%.300s", err, text)
	}
	seed := experiment.Value{Key: "seed", Value: "5", Origin: "-set"}
	if got.Experiment != stage.DefaultExperiment || !slices.Contains(got.Values, seed) || len(got.Plan.Layers) == 0 {
		t.Errorf("experiment %q, %d values, %d layers, want %v among them", got.Experiment, len(got.Values), len(got.Plan.Layers), seed)
	}
}
