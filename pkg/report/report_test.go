package report_test

import (
	"flag"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/qakd/qakd/pkg/report"
)

var update = flag.Bool("update", false, "rewrite testdata")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s\n%s", path, diff, got)
	}
}

func sample() *report.Table {
	t := &report.Table{Title: "Layers a|b", Columns: []string{"layer", "SQNR dB", "bytes", "note"}}
	t.Add("  q_proj", 31.4159265, 1024, "大 ok")
	t.Add("x|y", -2.0, 7, "two\nlines")
	t.Add("none", nil, 123456, "")
	return t
}

func TestText(t *testing.T) {
	var b strings.Builder
	if err := sample().Text(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/table.txt", b.String())
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	if err := sample().Markdown(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/table.md", b.String())
}

func TestEdges(t *testing.T) {
	var b strings.Builder
	empty := report.Table{Columns: []string{"only", "header"}}
	if err := empty.Text(&b); err != nil || !strings.Contains(b.String(), "only") {
		t.Errorf("no rows: %v\n%s", err, b.String())
	}
	ragged := report.Table{Title: "T", Columns: []string{"a"}, Rows: [][]string{{"1"}, {"1", "2"}}}
	if err := ragged.Text(&b); err == nil || !strings.Contains(err.Error(), `table "T": row 1 has 2 cells, want 1`) {
		t.Errorf("ragged: %v", err)
	}
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		v    float64
		want string
	}{{0, "0"}, {0.0123456, "0.01235"}, {1, "1.000"}, {-12.3456, "-12.35"}, {123456, "123456"}, {1e-9, "1e-09"}, {1.23456e9, "1.235e+09"}, {math.Inf(1), "+Inf"}} {
		if got := report.Significant(tt.v, 4); got != tt.want {
			t.Errorf("Significant(%v) = %q, want %q", tt.v, got, tt.want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.50 KiB", 8 << 20: "8.00 MiB", 1 << 62: "4194304.00 TiB"} {
		if got := report.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	var b strings.Builder
	if err := report.JSON(&b, map[string]any{"passed": 1, "names": []string{}}); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"names\": [],\n  \"passed\": 1\n}\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	b.Reset()
	for _, bad := range []any{map[string]float64{"kl": math.NaN()}, []int{1}, 3} {
		if err := report.JSON(&b, bad); err == nil || b.Len() != 0 {
			t.Errorf("%v: error %v, wrote %q", bad, err, b.String())
		}
	}
}
