package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/experiment"
)

const fixture = "../../pkg/talker/testdata/tiny-sharded"

// The JSON result has the fields that scripts read, and nothing else is printed.
func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := run(&out, fixture, true); err != nil {
		t.Fatal(err)
	}
	var res struct {
		Passed, Failed int
		Unsupported    []string
		Checks         []map[string]any
	}
	d := json.NewDecoder(&out)
	if err := d.Decode(&res); err != nil || d.More() {
		t.Fatalf("output is not one JSON object: %v", err)
	}
	if res.Passed != len(res.Checks) || res.Passed < 100 || res.Failed != 0 || len(res.Unsupported) != 0 {
		t.Errorf("passed %d, failed %d, %d checks, %d unsupported", res.Passed, res.Failed, len(res.Checks), len(res.Unsupported))
	}
	for _, key := range []string{"file", "name", "max_abs_err", "atol", "rtol", "pass"} {
		if _, ok := res.Checks[0][key]; !ok {
			t.Errorf("a check has no %q: %v", key, res.Checks[0])
		}
	}
}

// A golden that differs is shown and makes the program exit with 1.
func TestFailure(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(fixture)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "checkpoint", "config.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(b, []byte(`"rms_norm_eps": 1e-06`), []byte(`"rms_norm_eps": 0.1`), 1) // the code predictor's
	if bytes.Equal(changed, b) {
		t.Fatal("the configuration has no rms_norm_eps of 1e-06")
	}
	if err := os.WriteFile(path, changed, 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(&out, dir, false); experiment.ExitCode(err) != experiment.ExitFailed {
		t.Errorf("error %v, want exit code %d", err, experiment.ExitFailed)
	}
	if !strings.Contains(out.String(), "FAIL") || !strings.Contains(out.String(), "pass") {
		t.Errorf("the table has no verdicts:\n%s", out.String())
	}
}

func TestUsage(t *testing.T) {
	if err := run(&bytes.Buffer{}, "", false); experiment.ExitCode(err) != experiment.ExitUsage {
		t.Errorf("error %v, want exit code %d", err, experiment.ExitUsage)
	}
}
