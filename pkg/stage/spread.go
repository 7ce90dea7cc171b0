package stage

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/pkg/eval"
	"github.com/qakd/qakd/pkg/report"
)

// ReadSummary reads the summary of a finished run.
func ReadSummary(dir string) (*Summary, error) {
	path := filepath.Join(dir, SummaryFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := new(Summary)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Mean is a mean over runs and the sample standard deviation.
type Mean struct {
	Mean   float64 `json:"mean"`
	Spread float64 `json:"spread"`
}

func (m Mean) String() string {
	return report.Significant(m.Mean, 4) + " ± " + report.Significant(m.Spread, 2)
}

// MeanOf is the mean of x and how far its numbers lie apart; the spread of one number is 0.
func MeanOf(x []float64) (m Mean) {
	for _, v := range x {
		m.Mean += v / float64(len(x))
	}
	for _, v := range x {
		m.Spread += (v - m.Mean) * (v - m.Mean)
	}
	m.Spread = math.Sqrt(m.Spread / float64(max(1, len(x)-1)))
	return m
}

// SpreadRow is one model over several runs.
type SpreadRow struct {
	Name          string `json:"name"`
	KL            Mean   `json:"kl"`
	Agreement0    Mean   `json:"agreement_code0"`
	AgreementCP   Mean   `json:"agreement_cp"`
	EOSErrors     Mean   `json:"eos_errors"`
	DurationRatio Mean   `json:"duration_ratio"`
}

// Spread is what runs of one experiment with different seeds have in common.
type Spread struct {
	Experiment string      `json:"experiment"`
	Seeds      []int64     `json:"seeds"`
	Recovered  Mean        `json:"recovered"`
	Rows       []SpreadRow `json:"rows"`
}

// SpreadOf reads the summaries of run folders. They must be of one experiment, with the same rows, and differ in seed.
func SpreadOf(dirs []string) (*Spread, error) {
	var all []*Summary
	seen := map[int64]string{}
	out := &Spread{}
	var recovered []float64
	for _, dir := range dirs {
		s, err := ReadSummary(dir)
		if err != nil {
			return nil, err
		}
		if len(all) > 0 && (s.Experiment != all[0].Experiment || len(s.Rows) != len(all[0].Rows)) {
			return nil, fmt.Errorf("%s: experiment %s with %d rows, want %s with %d", dir, s.Experiment, len(s.Rows), all[0].Experiment, len(all[0].Rows))
		}
		if other, ok := seen[s.Seed]; ok {
			return nil, fmt.Errorf("%s: seed %d is that of %s, want different seeds", dir, s.Seed, other)
		}
		seen[s.Seed] = dir
		all, out.Seeds, recovered = append(all, s), append(out.Seeds, s.Seed), append(recovered, s.Recovered)
	}
	out.Experiment, out.Recovered = all[0].Experiment, MeanOf(recovered)
	for i, first := range all[0].Rows {
		over := func(number func(eval.Row) float64) Mean {
			x := make([]float64, len(all))
			for k, s := range all {
				x[k] = number(s.Rows[i])
			}
			return MeanOf(x)
		}
		out.Rows = append(out.Rows, SpreadRow{
			Name:          first.Name,
			KL:            over(func(r eval.Row) float64 { return r.KL }),
			Agreement0:    over(func(r eval.Row) float64 { return r.Agreement0 }),
			AgreementCP:   over(func(r eval.Row) float64 { return r.AgreementCP }),
			EOSErrors:     over(func(r eval.Row) float64 { return r.EOSErrors }),
			DurationRatio: over(func(r eval.Row) float64 { return r.DurationRatio }),
		})
	}
	return out, nil
}

// Table is the spread for a person.
func (s *Spread) Table() *report.Table {
	t := &report.Table{
		Title:   fmt.Sprintf("%s, seeds %v: won back %v of what INT4 round-to-nearest loses", s.Experiment, s.Seeds, s.Recovered),
		Columns: []string{"model", "KL nats/frame", "agree code 0", "agree codes 1…", "EOS errors", "duration"},
	}
	for _, r := range s.Rows {
		t.Add(r.Name, r.KL, r.Agreement0, r.AgreementCP, r.EOSErrors, r.DurationRatio)
	}
	return t
}
