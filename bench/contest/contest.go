// Package contest lets us and a rival take turns at the same work and tells who was faster, and how many times.
package contest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/report"
)

// Contest is one row: the same work on both sides. The functions do it once and say how long it took.
type Contest struct {
	Name        string
	Goal        float64 // how many times less than the rival ours must be
	Ours, Rival func(ctx context.Context) (ms float64, err error)
}

// Row is its outcome, the best of all rounds on each side.
type Row struct {
	Name    string  `json:"name"`
	Ours    float64 `json:"ours"`
	Rival   float64 `json:"rival"`
	Ratio   float64 `json:"ratio"` // how many times better ours is
	Goal    float64 `json:"goal"`
	Reached bool    `json:"reached"`
}

// rest lets the other side's threads stop waiting for work before the next one's turn.
const rest = 200 * time.Millisecond

// Run goes through all contests, round by round; the first round only warms up. It tells each round, and the machine's
// load in it, on w.
func Run(ctx context.Context, w io.Writer, list []Contest, rounds int) ([]Row, error) {
	type pair struct{ ours, rival float64 }
	best := make([]pair, len(list))
	for i := range best {
		best[i] = pair{math.Inf(1), math.Inf(1)}
	}
	for round := range rounds + 1 {
		fmt.Fprintf(w, "round %d (load %s):", round, load(1))
		for i, c := range list {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			theirs, err := c.Rival(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: rival: %w", c.Name, err)
			}
			time.Sleep(rest)
			ours, err := c.Ours(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
			time.Sleep(rest)
			fmt.Fprintf(w, "  %.1f | %.1f", ours, theirs)
			if round > 0 {
				best[i] = pair{min(best[i].ours, ours), min(best[i].rival, theirs)}
			}
		}
		fmt.Fprintln(w)
	}
	rows := make([]Row, len(list))
	for i, c := range list {
		rows[i] = NewRow(c.Name, best[i].ours, best[i].rival, c.Goal)
	}
	return rows, nil
}

// NewRow is the outcome of the best of each side.
func NewRow(name string, ours, rival, goal float64) Row {
	return Row{name, round3(ours), round3(rival), round3(rival / ours), goal, rival/ours >= goal}
}

func round3(v float64) float64 { return math.Round(1000*v) / 1000 }

// Table shows the rows.
func Table(w io.Writer, title string, rows []Row) error {
	t := &report.Table{Title: title, Columns: []string{"", "ours", "rival", "ratio", "goal", "reached"}}
	for _, r := range rows {
		reached := "yes"
		if !r.Reached {
			reached = "no"
		}
		t.Add(r.Name, fmt.Sprintf("%.2f", r.Ours), fmt.Sprintf("%.2f", r.Rival), fmt.Sprintf("%.2f×", r.Ratio), fmt.Sprintf("%.2f×", r.Goal), reached)
	}
	return t.Text(w)
}

// Write makes a JSON list of the rows at path.
func Write(path string, rows []Row) error {
	b, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return fsx.WriteBytes(path, append(b, '\n'))
}
