package parity

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
)

const fixtures = "../talker/testdata/"

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

// Every golden of the talker equals the reference's; numbers count by hand what the fixtures hold.
func TestGoldens(t *testing.T) {
	for fixture, want := range map[string]map[string]int{
		"tiny-f32": {"talker.safetensors": 38, "code_predictor.safetensors": 8, "sft.safetensors": 54, "grad_norms.json": 3 * 85,
			"codec_encode.safetensors": 16, "codec_decode.safetensors": 16, "sampling.safetensors": 10, "generate.safetensors": 6*5 + 2 + 7*2 + 7 + 3 + 2},
		"tiny-bf16": {"talker.safetensors": 41, "code_predictor.safetensors": 8, "sft.safetensors": 46, "bf16.safetensors": 3, "grad_norms.json": 2 * 94,
			"codec_encode.safetensors": 16, "codec_decode.safetensors": 17, "sampling.safetensors": 10, "generate.safetensors": 6*5 + 2 + 7*2 + 7 + 3 + 2},
		"tiny-sharded": {"code_predictor.safetensors": 8, "sft.safetensors": 47, "grad_norms.json": 2 * 72,
			"codec_encode.safetensors": 19, "codec_decode.safetensors": 16, "sampling.safetensors": 10, "generate.safetensors": 5*5 + 2 + 6*2 + 1},
	} {
		t.Run(fixture, func(t *testing.T) {
			res, err := Run(fixtures + fixture)
			if err != nil {
				t.Fatal(err)
			}
			counts := make(map[string]int)
			for _, c := range res.Checks {
				counts[c.File]++
				if !c.Pass {
					t.Errorf("%s %s: %+v", c.File, c.Name, c)
				}
			}
			for file, n := range want {
				if counts[file] != n {
					t.Errorf("%s: %d checks, want %d", file, counts[file], n)
				}
			}
			if res.Failed != 0 || res.Passed != len(res.Checks) {
				t.Errorf("%d passed and %d failed of %d", res.Passed, res.Failed, len(res.Checks))
			}
			for _, name := range res.Unsupported {
				if file, _, _ := strings.Cut(name, "/"); want[file] > 0 {
					t.Errorf("%s is not computed", name)
				}
			}
		})
	}
}

// copied is a fixture whose files may be changed.
func copied(t *testing.T, fixture string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(fixtures+fixture)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit replaces text in a file; the text must be there.
func edit(t *testing.T, path, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), from) {
		t.Fatalf("%s has no %q", path, from)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), from, to)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A codec that computes something else fails, in the half where it does.
func TestDetectsCodecDifference(t *testing.T) {
	for file, change := range map[string][2]string{
		"codec_decode.safetensors": {`"sliding_window": 6,`, `"sliding_window": 7,`}, // the encoder's is 250
		"codec_encode.safetensors": {`"norm_eps": 1e-05,`, `"norm_eps": 0.5,`},
	} {
		dir := copied(t, "tiny-sharded")
		edit(t, filepath.Join(dir, "checkpoint", "speech_tokenizer", "config.json"), change[0], change[1])
		res, err := Run(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range res.Checks {
			if !c.Pass && c.File != file && c.File != "generate.safetensors" { // which is heard through the codec
				t.Errorf("%s: %s %s fails", file, c.File, c.Name)
			}
		}
		if res.Failed == 0 {
			t.Errorf("%s: no check sees the difference", file)
		}
	}
}

// A model that computes something else fails, and only where it does.
func TestDetectsDifference(t *testing.T) {
	dir := copied(t, "tiny-bf16")
	edit(t, filepath.Join(dir, "checkpoint", "config.json"), `"rope_theta": 10000,`, `"rope_theta": 20000,`) // the code predictor's
	res, err := Run(dir)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(map[string]int)
	for _, c := range res.Checks {
		if !c.Pass {
			failed[c.File]++
		}
	}
	if failed["talker.safetensors"] != 0 || failed["code_predictor.safetensors"] == 0 || failed["sft.safetensors"] == 0 || failed["grad_norms.json"] == 0 {
		t.Errorf("failures %v, want some in every file but the talker's", failed)
	}
	if res.Failed == 0 || res.Failed+res.Passed != len(res.Checks) {
		t.Errorf("%d failed, %d passed of %d", res.Failed, res.Passed, len(res.Checks))
	}
}

// A fixture without optional files is compared as far as it goes; a tensor that its file should have and has not fails.
func TestMissingGoldens(t *testing.T) {
	dir := copied(t, "tiny-sharded")
	golden := filepath.Join(dir, "golden")
	for _, f := range []string{"sft.safetensors", "grad_norms.json"} {
		if err := os.Remove(filepath.Join(golden, f)); err != nil {
			t.Fatal(err)
		}
	}
	edit(t, filepath.Join(golden, "manifest.json"), `"greedy.scores"`, `"greedy.points"`)
	res, err := Run(dir)
	if err != nil {
		t.Fatal(err)
	}
	predictor := 0
	for _, c := range res.Checks {
		if c.File == "code_predictor.safetensors" {
			predictor++
		}
	}
	if res.Failed != 0 || predictor != 7 {
		t.Errorf("%d checks of the code predictor, %d failed in all, want 7 and 0", predictor, res.Failed)
	}
	var unknown, absent bool
	for _, n := range res.Unsupported {
		unknown = unknown || n == "code_predictor.safetensors/greedy.points"
	}
	for _, n := range res.Absent {
		absent = absent || n == "sft.safetensors/aligned.loss"
	}
	if !unknown || !absent {
		t.Errorf("unknown tensor unsupported: %v; absent file listed: %v; want both", unknown, absent)
	}
}

func TestErrors(t *testing.T) {
	if _, err := Run(t.TempDir()); err == nil || !strings.Contains(err.Error(), "manifest.json") {
		t.Errorf("error %v, want one that names manifest.json", err)
	}
	dir := copied(t, "tiny-sharded")
	edit(t, filepath.Join(dir, "golden", "manifest.json"), `"exact"`, `"close"`)
	if _, err := Run(dir); err == nil || !strings.Contains(err.Error(), `tolerance "close", want "exact" or an object with atol and rtol`) {
		t.Errorf("error %v, want the tolerance", err)
	}
	dir = copied(t, "tiny-sharded")
	if err := os.Remove(filepath.Join(dir, "checkpoint", "model-00003-of-00005.safetensors")); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(dir); err == nil || !strings.Contains(err.Error(), "model-00003-of-00005.safetensors") {
		t.Errorf("error %v, want the missing shard", err)
	}
}

// A folder in which nothing can be compared must not pass for one in which everything is right.
func TestNothingToCompare(t *testing.T) {
	dir := copied(t, "tiny-sharded")
	golden := filepath.Join(dir, "golden")
	if err := os.Remove(filepath.Join(golden, "sft.safetensors")); err != nil {
		t.Fatal(err)
	}
	res, err := Run(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(res.Absent, func(n string) bool { return strings.HasPrefix(n, "grad_norms.json") }) {
		t.Errorf("the norms of gradients that are not computed are not among the absent: %v", res.Absent)
	}
	files, err := filepath.Glob(filepath.Join(golden, "*.safetensors"))
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files %v, error %v", files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Run(dir); err == nil || !strings.Contains(err.Error(), golden+" has a manifest, but none") {
		t.Errorf("error %v without golden files, want one that names the folder", err)
	}
	if err := os.WriteFile(filepath.Join(golden, "manifest.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(dir); err == nil || !strings.Contains(err.Error(), "manifest.json: no tensors") {
		t.Errorf("error %v with an empty manifest, want one that names it", err)
	}
}

func TestMeasure(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	tests := []struct {
		name      string
		got, want []float64
		only      []bool
		exact     bool
		pass      bool
		err       float64
	}{
		{"inside", []float64{1.05, 2}, []float64{1, 2}, nil, false, true, 0.05},
		{"outside", []float64{1.5, 2}, []float64{1, 2}, nil, false, false, 0.5},
		{"relative", []float64{104}, []float64{100}, nil, false, true, 4},
		{"not compared", []float64{1, 9}, []float64{1, 2}, []bool{true, false}, false, true, 0},
		{"nothing compared", []float64{1}, []float64{1}, []bool{false}, false, false, math.MaxFloat64},
		{"exact", []float64{3}, []float64{3}, nil, true, true, 0},
		{"not exact", []float64{3}, []float64{4}, nil, true, false, 1},
		{"NaN", []float64{nan}, []float64{1}, nil, false, false, math.MaxFloat64},
		{"equal infinities", []float64{inf}, []float64{inf}, nil, false, true, 0},
		{"infinity", []float64{inf}, []float64{1}, nil, false, false, math.MaxFloat64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Check{ATol: 0.05, RTol: 0.05}
			if tt.exact {
				c.ATol, c.RTol = 0, 0
			}
			c.measure(computed{values: tt.got, only: tt.only}, tt.want, tt.exact)
			if c.Pass != tt.pass || math.Abs(c.MaxAbsErr-tt.err) > 1e-9 {
				t.Errorf("pass %v, error %g, want %v, %g", c.Pass, c.MaxAbsErr, tt.pass, tt.err)
			}
			if _, err := json.Marshal(c); err != nil {
				t.Error(err)
			}
		})
	}
}
