package parity

import (
	"fmt"

	"github.com/qakd/qakd/pkg/report"
)

// Table lists every check with its error and verdict.
func (r *Result) Table() *report.Table {
	t := &report.Table{Title: "Goldens of the reference implementation",
		Columns: []string{"file", "tensor", "max error", "of tolerance", "in std", "verdict"}}
	for _, c := range r.Checks {
		verdict := "pass"
		if !c.Pass {
			verdict = "FAIL"
		}
		if c.Problem != "" {
			t.Add(c.File, c.Name, nil, nil, nil, verdict+": "+c.Problem)
			continue
		}
		t.Add(c.File, c.Name, c.MaxAbsErr, share(c), deviations(c), verdict)
	}
	for _, n := range r.Unsupported {
		t.Add("", n, nil, nil, nil, "unsupported")
	}
	for _, n := range r.Absent {
		t.Add("", n, nil, nil, nil, "absent")
	}
	return t
}

// Summary has one line per file: how many checks, and the worst error.
func (r *Result) Summary() *report.Table {
	title := fmt.Sprintf("%d passed, %d failed, %d unsupported", r.Passed, r.Failed, len(r.Unsupported))
	if n := len(r.Absent); n > 0 {
		title += fmt.Sprintf(", %d absent", n)
	}
	t := &report.Table{Title: title, Columns: []string{"file", "passed", "failed", "worst, of tolerance"}}
	type line struct {
		passed, failed int
		worst          float64
	}
	files := make(map[string]*line)
	for _, c := range r.Checks {
		l := files[c.File]
		if l == nil {
			l = new(line)
			files[c.File] = l
		}
		if c.Pass {
			l.passed++
		} else {
			l.failed++
		}
		l.worst = max(l.worst, c.Share)
	}
	for _, file := range sortedKeys(files) {
		l := files[file]
		t.Add(file, l.passed, l.failed, percent(l.worst))
	}
	return t
}

func share(c Check) string {
	if c.ATol == 0 && c.RTol == 0 {
		return "exact"
	}
	return percent(c.Share)
}

func deviations(c Check) any {
	if c.StdErr == 0 {
		return nil
	}
	return c.StdErr
}

func percent(share float64) string { return report.Significant(100*share, 2) + " %" }
