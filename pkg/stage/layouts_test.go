package stage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/stage"
	"github.com/qakd/qakd/pkg/talker"
)

const cloner = "../talker/testdata/tiny-f32/checkpoint" // a base checkpoint

// cloned writes the four files of rows as data preparation leaves them, texts in words, half of them without a reference's
// transcript, and returns the settings that name them. edit may spoil a row.
func cloned(t *testing.T, edit func(split demo.Split, i int, row map[string]any)) []string {
	t.Helper()
	cfg, err := talker.ReadConfig(cloner)
	must(t, err)
	r := rng.New(1, "rows")
	frames := func(n int) (out [][]int) {
		for range n {
			f := make([]int, cfg.Groups())
			for g := range f {
				f[g] = r.IntN(int(cfg.Codebook()))
			}
			out = append(out, f)
		}
		return out
	}
	dir := t.TempDir()
	sets := append(slices.Clone(small), "model="+cloner, "quant.weight.granularity=per_channel", "quant.weight.group_size=0")
	for _, split := range []demo.Split{demo.Calibration, demo.Distillation, demo.Selection, demo.Evaluation} {
		var text bytes.Buffer
		for i := range 8 {
			row := map[string]any{
				"audio": "a.wav", "ref_audio": "r.wav", "text": []string{"Hello there.", "你好", "One, two; three!"}[i%3],
				"language": []string{"English", "auto"}[i%2], "audio_codes": frames(2 + i%3), "ref_audio_codes": frames(3),
			}
			if i < 4 {
				row["ref_text"] = "Good day"
			}
			vector := make([]float64, cfg.Talker.Hidden)
			for k := range vector {
				vector[k] = r.NormFloat64()
			}
			row["speaker_vector"] = vector
			if edit != nil {
				edit(split, i, row)
			}
			must(t, json.NewEncoder(&text).Encode(row))
		}
		path := filepath.Join(dir, split.String()+".jsonl")
		must(t, os.WriteFile(path, text.Bytes(), 0o644))
		sets = append(sets, fmt.Sprintf("data.%v=%s", split, path))
	}
	return sets
}

var everyClone = []string{
	"distill.layouts.xvector=1", "distill.layouts.in_context=1", "distill.layouts.text.streaming=1", "distill.layouts.text.whole=1",
	"distill.layouts.language.auto=1", "distill.layouts.language.explicit=1",
}

// The whole job on a base checkpoint, in every layout that it has, from rows as data preparation leaves them.
func TestPipelineOfClones(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the pipeline")
	}
	ctx, dir := context.Background(), t.TempDir()
	r, err := open(t, dir, false, append(cloned(t, nil), append(everyClone, "train.steps=2", "eval.free_run=1", "eval.max_frames=4")...), stage.PackedDir)
	must(t, err)
	must(t, all(t, ctx, r))
	must(t, r.Convert())
	s, err := r.Evaluate(ctx)
	must(t, err)
	for _, row := range s.Rows {
		n, kl := int64(0), 0.0
		for i, l := range row.Layouts {
			n, kl = n+l.Utterances, kl+l.KL
			if l.Layout != s.Rows[0].Layouts[i].Layout {
				t.Errorf("%s: layout %d is %s, the teacher's is %s", row.Name, i, l.Layout, s.Rows[0].Layouts[i].Layout)
			}
		}
		if len(row.Layouts) < 3 || n != 8 || (kl == 0) != (row.Name == stage.RowTeacher) {
			t.Errorf("%s by layout: %+v, want 3 layouts or more of 8 utterances", row.Name, row.Layouts)
		}
	}
	var text bytes.Buffer
	for _, table := range s.Tables() {
		must(t, table.Text(&text))
	}
	for _, want := range []string{"KL by layout", s.Rows[0].Layouts[0].Layout} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	metrics, err := os.ReadFile(filepath.Join(dir, stage.MetricsFile))
	must(t, err)
	if line, _, _ := strings.Cut(string(metrics), "\n"); !strings.Contains(line, `"share_in_context":`) || !strings.Contains(line, `"share_streaming":`) {
		t.Errorf("no shares of the layouts in %s", line)
	}
}

// Before it calibrates, a run says in which layouts the utterances are, and which weighted ones it will know nothing of. Which
// those are depends on the IDs, and so on the file's name: together they are all that there are.
func TestCalibrationTellsLayouts(t *testing.T) {
	for _, c := range []struct {
		utterances string
		weights    []string
		layouts    int
	}{{"2", everyClone, 8}, {"8", []string{"distill.layouts.xvector=1"}, 1}} {
		r, err := open(t, t.TempDir(), false, slices.Concat(cloned(t, nil), c.weights, []string{
			"calib.utterances=" + c.utterances, "calib.min_tokens=1", `quant.include=["talker.codec_head"]`,
		}))
		must(t, err)
		_, err = r.Student()
		must(t, err)
		_, err = r.Calibrate(context.Background())
		must(t, err)
		log := r.Log.(*bytes.Buffer).String()
		_, after, told := strings.Cut(log, "calibrate: layouts of the "+c.utterances+" utterances: ")
		drawn, after, _ := strings.Cut(after, "\n")
		_, undrawn, warned := strings.Cut(after, "warning: none of them has a layout that distill.layouts weighs: ")
		undrawn, _, _ = strings.Cut(undrawn, "; raise calib.utterances\n")
		named := map[string]bool{}
		for _, l := range strings.Split(drawn, "; ") {
			_, l, _ = strings.Cut(l, " ")
			named[l] = true
		}
		if warned {
			for _, l := range strings.Split(undrawn, "; ") {
				named[l] = true
			}
		}
		if !told || warned != (c.layouts > 1) || len(named) != c.layouts {
			t.Errorf("%s utterances: %d layouts are named, want %d:\n%s", c.utterances, len(named), c.layouts, log)
		}
	}
}

// Rows that no weighted layout can take, and weights that no row can serve, are errors before the first stage, with the file
// and the way out.
func TestLayoutsAreCheckedFirst(t *testing.T) {
	spoil := func(at demo.Split, edit func(i int, row map[string]any)) []string {
		return cloned(t, func(split demo.Split, i int, row map[string]any) {
			if split == at {
				edit(i, row)
			}
		})
	}
	tests := []struct {
		name string
		sets []string
		want []string
	}{
		{"rows of the published format", spoil(demo.Distillation, func(_ int, row map[string]any) { delete(row, "speaker_vector") }),
			[]string{"distillation.jsonl: ", `distillation.jsonl:1" fits no weighted layout`, "no speaker_vector", "examples/prepare makes it from ref_audio"}},
		{"no transcript", append(spoil(demo.Selection, func(_ int, row map[string]any) { delete(row, "ref_text") }), everyClone...),
			[]string{"selection.jsonl: ", "layouts.in_context is 1, but none of 8 utterances has the parts for it", "no ref_text_ids"}},
		{"a voice of another kind", append(cloned(t, nil), "distill.layouts.preset=1"),
			[]string{`layouts.preset is 1, want 0: a "base" checkpoint has the voices ["xvector" "in_context"]`}},
		{"reference code", append(spoil(demo.Evaluation, func(i int, row map[string]any) { row["ref_audio_codes"] = [][]int{slices.Repeat([]int{9999}, 16)} }), everyClone...),
			[]string{"evaluation.jsonl", "ref_audio_codes[0][0] is 9999"}},
		{"a text of no words", spoil(demo.Calibration, func(i int, row map[string]any) { row["text"] = " " }),
			[]string{`calibration.jsonl:1: key "text": `, "white space"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := open(t, t.TempDir(), false, tt.sets)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in: %v", want, err)
				}
			}
		})
	}
}

// -dry-run counts the layouts, and says when the data are not there yet.
func TestDryRunCountsLayouts(t *testing.T) {
	dry := func(sets []string) (out struct{ Layouts []stage.Mixed }) {
		t.Helper()
		args, stdout := os.Args, os.Stdout
		defer func() { os.Args, os.Stdout = args, stdout }()
		f, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
		must(t, err)
		defer f.Close()
		os.Args, os.Stdout = []string{"student", "-dry-run", "-json"}, f
		for _, s := range sets {
			os.Args = append(os.Args, "-set", s)
		}
		if code := (stage.Program{Name: "student"}).Main(); code != experiment.ExitOK {
			t.Fatalf("exit code %d", code)
		}
		text, err := os.ReadFile(f.Name())
		must(t, err)
		must(t, json.Unmarshal(text, &out))
		return out
	}
	sets := append(cloned(t, nil), everyClone...)
	got := dry(sets)
	if len(got.Layouts) != 4 {
		t.Fatalf("%+v, want 4 files", got)
	}
	for _, m := range got.Layouts {
		n := 0
		for _, s := range m.Layouts {
			n += s.Utterances
		}
		want := 8
		if m.Data == "selection" {
			want = 4
		}
		if m.Utterances != want || n != want || len(m.Layouts) < 2 {
			t.Errorf("%+v, want %d utterances in more than one layout", m, want)
		}
	}
	var text bytes.Buffer
	must(t, stage.MixTable(got.Layouts).Text(&text))
	if !strings.Contains(text.String(), "in_context") || !strings.Contains(text.String(), "explicit") {
		t.Errorf("table:\n%s", &text)
	}
	none := filepath.Join(t.TempDir(), "none.jsonl")
	if got := dry(append(sets, "data.evaluation="+none)); len(got.Layouts) != 1 || !strings.Contains(got.Layouts[0].Note, none) {
		t.Errorf("%+v, want a note that names %s", got, none)
	}
}
