package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
)

// table is bench/calib-table.json.
type table struct {
	Command  string  `json:"command"`
	Settings options `json:"settings"`
	Rows     []row   `json:"rows"`
}

// row is a method in a setting, over all seeds.
type row struct {
	setting
	Method     string     `json:"method"`
	KL         stage.Mean `json:"kl"` // nats per frame
	Agreement0 stage.Mean `json:"agreement_code0"`
	AgreementN stage.Mean `json:"agreement_codes"`
	// Gain is how many times the KL of round-to-nearest in the same setting is this KL, seed by seed; Worst is the least of
	// them. Both are 0 where no rtn stands beside.
	Gain  stage.Mean `json:"gain"`
	Worst float64    `json:"gain_worst"`
}

// table puts the cells' scores together.
func (o options) table(results map[cell]map[string]score) *table {
	t := &table{Command: o.command(), Settings: o}
	for _, c := range o.cells() {
		if c.seed != o.Seeds[0] {
			continue
		}
		for _, m := range o.methods(c.setting) {
			r, gains := row{setting: c.setting, Method: m}, []float64(nil)
			over := func(number func(s score) float64) stage.Mean {
				var x []float64
				for _, seed := range o.Seeds {
					x = append(x, number(results[cell{c.setting, seed}][m]))
				}
				return stage.MeanOf(x)
			}
			r.KL = over(func(s score) float64 { return s.KL })
			r.Agreement0 = over(func(s score) float64 { return s.Agreement0 })
			r.AgreementN = over(func(s score) float64 { return s.AgreementN })
			for _, seed := range o.Seeds {
				scores := results[cell{c.setting, seed}]
				if rtn, ok := scores["rtn"]; ok {
					gains = append(gains, rtn.KL/scores[m].KL)
				}
			}
			if len(gains) > 0 {
				r.Gain, r.Worst = stage.MeanOf(gains), slices.Min(gains)
			}
			t.Rows = append(t.Rows, r)
		}
	}
	return t
}

// command repeats the run.
func (o options) command() string {
	d, words := defaults(), []string{"go run ./bench/calibtable"}
	for _, f := range []struct{ name, have, usual string }{
		{"methods", o.Methods.String(), d.Methods.String()}, {"asymmetric", o.Asymmetric.String(), d.Asymmetric.String()},
		{"static", o.Static.String(), d.Static.String()}, {"narrow", o.Narrow.String(), d.Narrow.String()}, {"observers", o.Observers.String(), d.Observers.String()},
		{"teachers", o.Teachers.String(), d.Teachers.String()}, {"seeds", o.Seeds.String(), d.Seeds.String()},
		{"calib", fmt.Sprint(o.Calibration), fmt.Sprint(d.Calibration)}, {"eval", fmt.Sprint(o.Evaluation), fmt.Sprint(d.Evaluation)},
	} {
		if f.have != f.usual {
			words = append(words, "-"+f.name, f.have)
		}
	}
	return strings.Join(words, " ")
}

func (t *table) write(path string) error {
	text, err := json.MarshalIndent(t, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return fsx.WriteBytes(path, append(text, '\n'))
}

func read(path string) (*table, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t := new(table)
	if err := json.Unmarshal(text, t); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// markdown is the part of README.md: KL, margins and agreement by method and setting, the observers, and INT4 inputs.
func (t *table) markdown() (string, error) {
	var out bytes.Buffer
	kl := func(r row) string { return fmt.Sprintf("%.1f ± %.1f", 1000*r.KL.Mean, 1000*r.KL.Spread) }
	for _, part := range []struct {
		title string
		cell  func(r row) string
	}{
		{"KL, thousandths of a nat per frame", kl},
		{"How many times less that is than by rounding to nearest, in the worst of the seeds", func(r row) string {
			return fmt.Sprintf("%.2f×", r.Worst)
		}},
		{"Agreement of the best class, code 0 / mean of codes 1–15, %", func(r row) string {
			return fmt.Sprintf("%.1f / %.1f", 100*r.Agreement0.Mean, 100*r.AgreementN.Mean)
		}},
	} {
		tab := t.grid("method", func(r row) (string, string, bool) {
			name, column := r.Method, fmt.Sprintf("%s g%d %s", r.Teacher, r.Group, r.Inputs)
			if !r.Symmetric {
				name += ", asymmetric"
			}
			return name, column, r.Inputs == "a16" || r.Inputs == "a8"
		}, part.cell)
		fmt.Fprintf(&out, "%s:\n\n", part.title)
		if err := tab.Markdown(&out); err != nil {
			return "", err
		}
		fmt.Fprintln(&out)
	}
	for _, part := range []struct {
		title, heading string
		place          func(r row) (line, column string, ok bool)
	}{
		{"Static INT8 input scales by observer (g32)", "observer", func(r row) (string, string, bool) {
			method, observer, _ := strings.Cut(r.Method, "/")
			return observer, r.Teacher + " " + method, r.Inputs == "a8-static"
		}},
		{"INT4 inputs per token (g32)", "method", func(r row) (string, string, bool) { return r.Method, r.Teacher, r.Inputs == "a4" }},
	} {
		tab := t.grid(part.heading, part.place, kl)
		fmt.Fprintf(&out, "%s, KL, thousandths of a nat per frame:\n\n", part.title)
		if err := tab.Markdown(&out); err != nil {
			return "", err
		}
		fmt.Fprintln(&out)
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// grid lays rows out by the line and column that place names, under a heading of lines; false leaves a row out.
func (t *table) grid(heading string, place func(r row) (line, column string, ok bool), text func(r row) string) *report.Table {
	var lines, columns []string
	cells := map[[2]string]string{}
	for _, r := range t.Rows {
		line, column, ok := place(r)
		if !ok {
			continue
		}
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
		if !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
		cells[[2]string{line, column}] = text(r)
	}
	tab := &report.Table{Columns: append([]string{heading}, columns...)}
	for _, line := range lines {
		cellsOf := []any{line}
		for _, column := range columns {
			cellsOf = append(cellsOf, cells[[2]string{line, column}])
		}
		tab.Add(cellsOf...)
	}
	return tab
}
