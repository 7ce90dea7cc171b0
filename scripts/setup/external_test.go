package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// Somebody else's module works after the documented set-up, outside the checkout.
func TestExternalModule(t *testing.T) {
	root := checkoutRoot(t)
	if _, err := os.Stat(filepath.Join(root, ".deps", manifest)); err != nil {
		t.Fatalf("the checkout is not set up, run make setup: %v", err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "examples/external"))); err != nil {
		t.Fatal(err)
	}
	output(t, dir, filepath.Join(root, "scripts/setup.sh"), ".")
	out := output(t, dir, "go", "run", ".", "-out", filepath.Join(dir, "packed"))
	t.Logf("%s", out)
	loss := map[string]float64{}
	for _, m := range regexp.MustCompile(`(?m)^(.+?) +mean squared error ([\d.]+)$`).FindAllSubmatch(out, -1) {
		v, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			t.Fatal(err)
		}
		loss[string(m[1])] = v
	}
	if len(loss) != 4 || loss["int4 trained"] >= loss["int4 rounded"] || loss["int4 reloaded"] != loss["int4 trained"] {
		t.Errorf("errors are %v; expected four, training to lower that of rounding, and the file to keep it", loss)
	}
	if st, err := os.Stat(filepath.Join(dir, "packed/model.safetensors")); err != nil || st.Size() > 8<<10 {
		t.Errorf("the packed file of 6656 weights: %v, %v; expected at most 8 KiB", st, err)
	}
}

func output(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(cleanEnv(), "OMP_NUM_THREADS=1", "LIBTORCH=", "CUDA=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q in %s: %v\n%s", name, args, dir, err, out)
	}
	return out
}
