package stage_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/eval"
	"github.com/qakd/qakd/pkg/stage"
)

func summary(t *testing.T, seed int64, recovered, kl float64) string {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(stage.Summary{Experiment: "x", Seed: seed, Recovered: recovered, Rows: []eval.Row{{Name: "teacher"}, {Name: "int4", KL: kl}}})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, stage.SummaryFile), text, 0o644))
	return dir
}

func TestSpread(t *testing.T) {
	a, b, c := summary(t, 1, 0.8, 0.01), summary(t, 2, 0.9, 0.02), summary(t, 3, 0.85, 0.06)
	s, err := stage.SpreadOf([]string{a, b, c})
	must(t, err)
	// By hand: mean 0.85, deviations -0.05, 0.05, 0, sum of squares 0.005, over n-1 = 2.
	if math.Abs(s.Recovered.Mean-0.85) > 1e-12 || math.Abs(s.Recovered.Spread-0.05) > 1e-12 {
		t.Errorf("recovered %+v, want 0.85 and 0.05", s.Recovered)
	}
	if kl := s.Rows[1].KL; math.Abs(kl.Mean-0.03) > 1e-12 || math.Abs(kl.Spread-math.Sqrt(0.0007)) > 1e-12 {
		t.Errorf("KL %+v, want 0.03 and √0.0007", kl)
	}
	if _, err := stage.SpreadOf([]string{a, a}); err == nil || !strings.Contains(err.Error(), "want different seeds") {
		t.Errorf("the same seed twice gives %v", err)
	}
	if _, err := stage.SpreadOf([]string{a, t.TempDir()}); err == nil || !strings.Contains(err.Error(), stage.SummaryFile) {
		t.Errorf("a folder without a summary gives %v", err)
	}
}
