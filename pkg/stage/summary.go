package stage

import (
	"encoding/json"
	"fmt"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/eval"
	"github.com/qakd/qakd/pkg/report"
)

// Names of the summary's rows.
const (
	RowTeacher    = "teacher"
	RowINT8       = "int8-rtn"
	RowINT4       = "int4-rtn"
	RowCalibrated = "int4-calibrated"
	RowBlockwise  = "int4-blockwise" // where there is such training
	RowDistilled  = "int4-distilled"
)

// Summary is the outcome of a run: summary.json.
type Summary struct {
	Experiment string     `json:"experiment"`
	Seed       int64      `json:"seed"`
	Rows       []eval.Row `json:"rows"`
	INT4Rule   string     `json:"int4_rule"` // the better scale rule of int4-rtn, chosen on the selection utterances
	Recovered  float64    `json:"recovered"` // 1 - kl(int4-distilled) / kl(int4-rtn)
	Seconds    float64    `json:"seconds"`   // of all stages that this program ran
	PeakMiB    float64    `json:"peak_mib"`  // largest resident size of this program

	Speed []eval.Speed `json:"speed"` // of the teacher and the packed student
}

func (s *Summary) row(name string) (eval.Row, bool) {
	for _, r := range s.Rows {
		if r.Name == name {
			return r, true
		}
	}
	return eval.Row{}, false
}

// finish computes what follows from the rows.
func (s *Summary) finish() error {
	rtn, ok1 := s.row(RowINT4)
	best, ok2 := s.row(RowDistilled)
	if !ok1 || !ok2 || rtn.KL <= 0 {
		return fmt.Errorf("summary: want rows %s (with a KL above 0) and %s", RowINT4, RowDistilled)
	}
	s.Recovered = 1 - best.KL/rtn.KL
	return nil
}

func (s *Summary) write(path string) error {
	if err := writeJSON(path, s); err != nil {
		return fmt.Errorf("summary: %w", err)
	}
	return nil
}

// writeJSON puts v into a file, for people too.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return fsx.WriteBytes(path, append(text, '\n'))
}

// Table is the summary for a person.
func (s *Summary) Table() *report.Table {
	t := &report.Table{
		Title: fmt.Sprintf("%s, seed %d: held-out, against the teacher", s.Experiment, s.Seed),
		Columns: []string{"model", "KL nats/frame", "KL code 0", "KL codes 1…", "agree code 0 %", "agree codes 1… %",
			"EOS errors %", "duration", "bits/weight", "size"},
	}
	for _, r := range s.Rows {
		bits := any("-")
		if r.BitsPerWeight > 0 {
			bits = r.BitsPerWeight
		}
		t.Add(r.Name, r.KL, r.KLByCodebook[0], r.KL-r.KLByCodebook[0], 100*r.Agreement0, 100*r.AgreementCP,
			100*r.EOSErrors, r.DurationRatio, bits, report.Bytes(r.Bytes))
	}
	return t
}

// ByCodebook is KL and nothing else, a column per model.
func (s *Summary) ByCodebook() *report.Table {
	t := &report.Table{Title: "KL by codebook, nats per frame", Columns: []string{"codebook"}}
	for _, r := range s.Rows {
		t.Columns = append(t.Columns, r.Name)
	}
	for g := range s.Rows[0].KLByCodebook {
		cells := []any{g}
		for _, r := range s.Rows {
			cells = append(cells, r.KLByCodebook[g])
		}
		t.Add(cells...)
	}
	return t
}

// ByLayout is KL by the layout of the prompts, a column per model; nil where all prompts have one.
func (s *Summary) ByLayout() *report.Table {
	if len(s.Rows[0].Layouts) == 0 {
		return nil
	}
	t := &report.Table{Title: "KL by layout (voice, text, language), nats per frame", Columns: []string{"layout", "utterances"}}
	for _, r := range s.Rows {
		t.Columns = append(t.Columns, r.Name)
	}
	for i, l := range s.Rows[0].Layouts {
		cells := []any{l.Layout, l.Utterances}
		for _, r := range s.Rows {
			cells = append(cells, r.Layouts[i].KL)
		}
		t.Add(cells...)
	}
	return t
}

// Tables is everything for a person.
func (s *Summary) Tables() []*report.Table {
	tables := []*report.Table{s.ByCodebook()}
	if t := s.ByLayout(); t != nil {
		tables = append(tables, t)
	}
	return append(tables, s.BySpeed(), s.Table())
}

// Conclusion says in one line what was won back, and how far the student is from INT8 round-to-nearest.
func (s *Summary) Conclusion() string {
	int8Row, _ := s.row(RowINT8)
	best, _ := s.row(RowDistilled)
	return fmt.Sprintf("distillation won back %.1f %% of what INT4 round-to-nearest loses; agreement against INT8 round-to-nearest: "+
		"code 0 %+.2f points, codes 1… %+.2f points; %.0f s, peak %.0f MiB",
		100*s.Recovered, 100*(best.Agreement0-int8Row.Agreement0), 100*(best.AgreementCP-int8Row.AgreementCP), s.Seconds, s.PeakMiB)
}
