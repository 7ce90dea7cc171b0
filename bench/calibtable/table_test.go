package main

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/stage"
)

// README.md has the table of the committed numbers.
func TestReadmeHasTheCommittedNumbers(t *testing.T) {
	committed, err := read("../calib-table.json")
	if err != nil {
		t.Fatal(err)
	}
	want, err := committed.markdown()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, got, _, err := between("README.md", string(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := defaults(); committed.Command != d.command() {
		t.Errorf("the committed table is that of %q, want %q", committed.Command, d.command())
	}
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("README.md and bench/calib-table.json differ: go run ./bench/calibtable -resume writes both\n%s", want)
	}
}

// What README.md says of the table in words, by the worst of the seeds and settings.
func TestCommittedNumbersSayWhatReadmeSays(t *testing.T) {
	committed, err := read("../calib-table.json")
	if err != nil {
		t.Fatal(err)
	}
	demo, twin := func(r row) bool { return r.Teacher == "demo" }, func(r row) bool { return r.Teacher == "twin" }
	for _, claim := range []struct {
		method      string
		symmetric   bool
		on          func(row) bool
		settings    int
		least, most float64 // of the gains, over settings
	}{
		{"gptq", true, demo, 4, 4.95, 5.75}, {"autoround", true, demo, 4, 3.25, 3.6},
		{"gptq", true, twin, 4, 2.65, 5.55}, {"autoround", true, twin, 4, 1.65, 2.55},
		{"awq", true, twin, 4, 3.45, 5.15}, {"smoothquant", true, twin, 4, 1.75, 2.75}, {"awq-gptq", true, twin, 4, 10, 13.5},
		{"hqq", false, demo, 4, 1.005, 1.035}, {"smoothquant", true, demo, 4, 0.99, 1}, {"hqq", false, twin, 4, 1 / 1.135, 1 / 1.02},
		{"hqq-imatrix", false, demo, 4, 1.075, 1.145}, {"hqq-imatrix", false, func(r row) bool { return twin(r) && r.Group == 32 }, 2, 1.135, 1.195},
		{"hqq-imatrix", false, func(r row) bool { return twin(r) && r.Group == 128 }, 2, 0.975, 0.985},
	} {
		var worst []float64
		for _, r := range committed.Rows {
			if r.Method == claim.method && r.Symmetric == claim.symmetric && r.Inputs != "a4" && claim.on(r) {
				worst = append(worst, r.Worst)
				if r.KL.Spread <= 0 || r.Gain.Mean < r.Worst {
					t.Errorf("%s on %+v: KL %v, gain %v, worst %v", r.Method, r.setting, r.KL, r.Gain, r.Worst)
				}
			}
		}
		if len(worst) != claim.settings {
			t.Fatalf("%s: %d settings, want %d", claim.method, len(worst), claim.settings)
		}
		if least, most := slices.Min(worst), slices.Max(worst); least < claim.least || most > claim.most {
			t.Errorf("%s: %.3f to %.3f times less than round-to-nearest, want %.3f to %.3f", claim.method, least, most, claim.least, claim.most)
		}
	}
}

// What beats one rule of rounding to nearest beats the better one too, by more than both spreads.
func TestCommittedNumbersBeatBothRules(t *testing.T) {
	committed, err := read("../calib-table.json")
	if err != nil {
		t.Fatal(err)
	}
	better := map[setting]row{}
	for _, r := range committed.Rows {
		if r.Method == "rtn-full" {
			better[r.setting] = r
		}
	}
	tried := 0
	for _, r := range committed.Rows {
		rtn, ok := better[r.setting]
		if !ok || !slices.Contains([]string{"gptq", "autoround", "awq-gptq"}, r.Method) && (r.Teacher != "twin" || r.Method != "awq" && r.Method != "smoothquant") {
			continue
		}
		tried++
		if r.KL.Mean+r.KL.Spread >= rtn.KL.Mean-rtn.KL.Spread {
			t.Errorf("%s on %+v: KL %v, %v by rounding", r.Method, r.setting, r.KL, rtn.KL)
		}
	}
	if tried != 3*8+2*4 {
		t.Errorf("%d rows were compared, want %d", tried, 3*8+2*4)
	}
}

// Rotations halve what INT4 inputs lose on the twin, whichever way weights are rounded, in every seed.
func TestCommittedRotationsHalve(t *testing.T) {
	committed, err := read("../calib-table.json")
	if err != nil {
		t.Fatal(err)
	}
	kl := map[string]stage.Mean{}
	for _, r := range committed.Rows {
		if r.Inputs == "a4" {
			kl[r.Teacher+" "+r.Method] = r.KL
		}
	}
	for _, claim := range []struct {
		with, without string
		least, most   float64 // of the share that is left, as README.md has it
	}{
		{"twin rotate", "twin rtn", 0.005, 0.015}, {"twin rotate-gptq", "twin gptq", 0.005, 0.015},
		{"demo rotate", "demo rtn", 0.625, 0.635}, {"demo rotate-gptq", "demo gptq", 0.535, 0.545},
	} {
		with, without := kl[claim.with], kl[claim.without]
		if share := with.Mean / without.Mean; !(share >= claim.least && share <= claim.most) {
			t.Errorf("%s: KL %v of %v, a share of %v, want %v to %v", claim.with, with, without, share, claim.least, claim.most)
		}
		if strings.HasPrefix(claim.with, "twin") && with.Mean+2*with.Spread > 0.5*(without.Mean-2*without.Spread) {
			t.Errorf("%s: KL %v of %v, want half", claim.with, with, without)
		}
	}
}

// Means, spreads and gains by hand; gains are of one seed each.
func TestTable(t *testing.T) {
	o := defaults()
	o.Teachers, o.Seeds, o.Methods, o.Asymmetric, o.Static = list{"demo"}, list{"1", "2"}, list{"rtn", "x"}, list{"hqq"}, list{"x"}
	o.Observers, o.Narrow = list{"mse"}, list{"rtn", "x"}
	results := map[cell]map[string]score{}
	for _, c := range o.cells() {
		results[c] = map[string]score{
			"rtn": {KL: 4}, "x": {KL: 2, Agreement0: 0.5, AgreementN: 0.75}, "hqq": {KL: 3}, "x/mse": {KL: 0.0123},
		}
		if c.seed == "2" {
			results[c]["rtn"], results[c]["x"] = score{KL: 6}, score{KL: 4, Agreement0: 0.7, AgreementN: 0.75}
		}
	}
	got := o.table(results)
	if len(got.Rows) != 4*2+4+1+2 {
		t.Fatalf("%d rows", len(got.Rows))
	}
	x := got.Rows[1]
	if x.Method != "x" || x.KL.Mean != 3 || math.Abs(x.KL.Spread-math.Sqrt2) > 1e-12 || math.Abs(x.Agreement0.Mean-0.6) > 1e-12 ||
		x.Gain.Mean != 1.75 || x.Worst != 1.5 {
		t.Errorf("%+v", x)
	}
	text, err := got.markdown()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3000.0 ± 1414.2", "1.50×", "60.0 / 75.0", "hqq, asymmetric", "demo g128 a8", "12.3 ± 0.0", "| method | "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	path := filepath.Join(t.TempDir(), "t.json")
	if err := got.write(path); err != nil {
		t.Fatal(err)
	}
	back, err := read(path)
	if err != nil || !reflect.DeepEqual(back.Rows, got.Rows) {
		t.Errorf("another table from the file: %v", err)
	}
	if want := "go run ./bench/calibtable -methods rtn,x -asymmetric hqq -static x -narrow rtn,x -observers mse -teachers demo -seeds 1,2"; got.Command != want {
		t.Errorf("command %q, want %q", got.Command, want)
	}
}

// The generated part of a file is replaced, and nothing else.
func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "R.md")
	if err := os.WriteFile(path, []byte("a\n"+begin+"old\n"+end+"b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"new\n", "newer\n"} {
		if err := replace(path, part); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "a\n"+begin+"\n"+part+"\n"+end+"b\n" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := os.WriteFile(path, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := replace(path, "x"); err == nil || !strings.Contains(err.Error(), "has no lines") {
		t.Errorf("error %v of a file without the lines", err)
	}
}

// A cell that is there is not computed again, a new method alone is, and other settings are refused.
func TestCellsAreKept(t *testing.T) {
	o := defaults()
	o.Calibration, o.Evaluation, o.Methods = 16, 2, list{"rtn"}
	c, dir := cell{setting{"demo", 128, true, "a16"}, "1"}, filepath.Join(t.TempDir(), "cell")
	first, err := o.measure(context.Background(), c, dir)
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	again, err := o.measure(over, c, dir)
	if err != nil || !reflect.DeepEqual(again, first) || first["rtn"].KL <= 0 {
		t.Errorf("%v, then %v (%v)", first, again, err)
	}
	o.Methods = list{"rtn", "mse"}
	if _, err := o.measure(over, c, dir); err == nil {
		t.Error("a new method without any work")
	}
	more, err := o.measure(context.Background(), c, dir)
	if err != nil || more["rtn"] != first["rtn"] || more["mse"].KL <= 0 || more["mse"].KL >= first["rtn"].KL {
		t.Errorf("%v, then %v (%v)", first, more, err)
	}
	o.Evaluation = 3
	if _, err := o.measure(context.Background(), c, dir); err == nil || !strings.Contains(err.Error(), "scores of other settings") {
		t.Errorf("error %v of other settings", err)
	}
	o.Evaluation = 2
	path := filepath.Join(dir, scoresFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"model", "calibration", "evaluation", "dtype"} {
		of := regexp.MustCompile(`"` + field + `": "[0-9a-z]+"`)
		if other := of.ReplaceAll(text, []byte(`"`+field+`": "another"`)); bytes.Equal(other, text) || os.WriteFile(path, other, 0o600) != nil {
			t.Fatalf("no %s in %s", field, text)
		}
		if _, err := o.measure(over, c, dir); err == nil || !strings.Contains(err.Error(), "scores of other settings") {
			t.Errorf("error %v of another %s", err, field)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || slices.Contains(left, filepath.Join(dir, "student")) {
		t.Errorf("left: %v (%v)", left, err)
	}
}
