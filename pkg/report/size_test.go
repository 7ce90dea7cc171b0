package report_test

import (
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/report"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"4096": 4096, "7B": 7, "1.5KB": 1500, "1.5KiB": 1536, "2MB": 2e6, "2 MiB": 2 << 20, "1.2GB": 1.2e9, "1.2gb": 1.2e9,
		"0.5GiB": 1 << 29, " 3TB ": 3e12, "1TiB": 1 << 40, "1.0005KB": 1000,
	} {
		if got, err := report.ParseBytes(text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GB", "1.2.3GB", "-1MB", "0", "0.5B", "1PB", "1e9", "1,5MB", "NaN", "10000000TB"} {
		if got, err := report.ParseBytes(text); err == nil || !strings.Contains(err.Error(), "GiB") {
			t.Errorf("%q is %d, error %v, want one that lists the units", text, got, err)
		}
	}
}
