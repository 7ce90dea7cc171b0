// Package contest lets us and a rival take turns at the same work and tells who was faster, and how many times.
package contest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/report"
)

// Contest is one row: the same work on both sides. The functions do it once and say how long it took.
type Contest struct {
	Name        string
	Goal        float64 // how many times less than the rival ours must be
	Ours, Rival func(ctx context.Context) (ms float64, err error)
	Note        string // what a reader of the row must know
}

// Row is its outcome, the best of all rounds on each side.
type Row struct {
	Name    string  `json:"name"`
	Ours    float64 `json:"ours"`
	Rival   float64 `json:"rival"`
	Ratio   float64 `json:"ratio"` // how many times better ours is
	Goal    float64 `json:"goal"`
	Reached bool    `json:"reached"`
	Note    string  `json:"note,omitempty"` // such as what disturbed it
}

// rest lets the other side's threads stop waiting for work before the next one's turn.
const rest = 200 * time.Millisecond

// Run goes through all contests, round by round; the first round only warms up. It tells each round, the machine's load
// in it and what programs beside us and the rivals, processes of these ids, used of the machine on w.
func Run(ctx context.Context, w io.Writer, list []Contest, rounds int, rivals ...int) ([]Row, error) {
	tried := make([]times, len(list))
	for round := range rounds + 1 {
		fmt.Fprintf(w, "round %d (load %s):", round, load(1))
		watch := WatchMachine(rivals...)
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
			fmt.Fprintf(w, "  %s | %s", brief(ours), brief(theirs))
			if round > 0 {
				tried[i].ours, tried[i].rival = append(tried[i].ours, ours), append(tried[i].rival, theirs)
			}
		}
		if others := watch.Others(); others > Quiet {
			fmt.Fprintf(w, "  disturbed: others used %.0f %% of the machine", 100*others)
		}
		fmt.Fprintln(w)
	}
	rows := make([]Row, len(list))
	for i, c := range list {
		rows[i] = NewRow(c.Name, slices.Min(tried[i].ours), slices.Min(tried[i].rival), c.Goal)
		rows[i].Note = join(c.Note, tried[i].disturbed())
	}
	return rows, nil
}

// times of both sides.
type times struct{ ours, rival []float64 }

// unsteady is how many times the best time the median may be in an undisturbed contest.
const unsteady = 1.15

// disturbed tells sides of which most rounds took much longer than the best.
func (t times) disturbed() string {
	words := ""
	for _, side := range []struct {
		name string
		ms   []float64
	}{{"ours", t.ours}, {"rival", t.rival}} {
		ms := slices.Sorted(slices.Values(side.ms))
		if f := ms[len(ms)/2] / ms[0]; f > unsteady {
			words = join(words, fmt.Sprintf("disturbed: %s mostly took %.1f× its best", side.name, f))
		}
	}
	return words
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// brief has three digits.
func brief(ms float64) string { return strconv.FormatFloat(ms, 'g', 3, 64) }

// Without is the row of a contest without a rival, and why it is without.
func Without(c Contest, why string) Row {
	return Row{Name: c.Name, Goal: c.Goal, Note: join(c.Note, why)}
}

// NewRow is the outcome of the best of each side.
func NewRow(name string, ours, rival, goal float64) Row {
	return Row{name, round3(ours), round3(rival), round3(rival / ours), goal, rival/ours >= goal, ""}
}

// round3 leaves three decimals, or four digits of what is small.
func round3(v float64) float64 {
	if v < 1 {
		v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
		return v
	}
	return math.Round(1000*v) / 1000
}

// Publish writes the rows to a file and shows them, and below them the tables of what missed its goal.
func Publish(file string, w io.Writer, title string, rows []Row, missed ...*report.Table) error {
	if err := Write(file, rows); err != nil {
		return err
	}
	if err := Table(w, title, rows); err != nil {
		return err
	}
	for _, t := range missed {
		if err := t.Text(w); err != nil {
			return err
		}
	}
	return nil
}

// Table shows the rows.
func Table(w io.Writer, title string, rows []Row) error {
	t := &report.Table{Title: title, Columns: []string{"", "ours", "rival", "ratio", "goal", "reached"}}
	noted := slices.ContainsFunc(rows, func(r Row) bool { return r.Note != "" })
	if noted {
		t.Columns = append(t.Columns, "note")
	}
	number := func(v float64, format string) string {
		switch {
		case v == 0:
			return "–"
		case v < 1 && format == "%.2f":
			return brief(v)
		}
		return fmt.Sprintf(format, v)
	}
	for _, r := range rows {
		reached := "yes"
		if !r.Reached {
			reached = "no"
		}
		cells := []any{r.Name, number(r.Ours, "%.2f"), number(r.Rival, "%.2f"), number(r.Ratio, "%.2f×"), fmt.Sprintf("%.2f×", r.Goal), reached}
		if noted {
			cells = append(cells, r.Note)
		}
		t.Add(cells...)
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
