package inspect

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
)

// Result is what a view found. It marshals to one JSON object.
type Result interface{ Tables() []*report.Table }

// Options of the views; each uses what its comment says.
type Options struct {
	Depth   int            // structure: levels of the tree; 0 for all
	Teacher string         // quant: folder of the float checkpoint to compare weights with; "" for none
	Quant   qat.Config     // quant: what would be done to a float checkpoint
	Load    talker.Options // forward: device and dtype; Swap is set by the view
}

// View is a way to look at a checkpoint.
type View struct {
	Name string
	What string // one line, for a program's usage
	Look func(c *Checkpoint, o Options) (Result, error)
}

// Views are all of them.
func Views() []View {
	return []View{
		{"model", "the checkpoint at a glance: sizes, parts, dtypes, configuration", func(c *Checkpoint, _ Options) (Result, error) { return c.Model() }},
		{"structure", "the module tree", func(c *Checkpoint, o Options) (Result, error) { return c.Structure(o.Depth) }},
		{"layers", "every projection and embedding", func(c *Checkpoint, _ Options) (Result, error) { return c.Layers() }},
		{"forward", "one teacher-forced batch, stage by stage", func(c *Checkpoint, o Options) (Result, error) { return c.Forward(o.Load) }},
		{"head", "the output heads: rows, and which of them are drawn", func(c *Checkpoint, _ Options) (Result, error) { return c.Head() }},
		{"vocab", "text and codec vocabulary, with checks", func(c *Checkpoint, _ Options) (Result, error) { return c.Vocab() }},
		{"quant", "how each layer is quantized, or would be", func(c *Checkpoint, o Options) (Result, error) { return c.Quant(o.Quant, o.Teacher) }},
	}
}

// Find is the view of a name; the error for another one lists the choices.
func Find(name string) (View, error) {
	var names []string
	for _, v := range Views() {
		if v.Name == name {
			return v, nil
		}
		names = append(names, v.Name)
	}
	return View{}, fmt.Errorf("unknown view %q, want one of: %s", name, strings.Join(names, ", "))
}

// Verdicts of a check.
const (
	OK     = "ok"
	Wrong  = "WRONG"
	Absent = "absent" // nothing to check, and nothing wrong with that
)

// Check is one line of what was checked.
type Check struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"` // OK, Wrong or Absent
	Detail  string `json:"detail"`
}

// checks collects lines.
type checks []Check

// want adds a line: detail when ok, the problem otherwise.
func (cs *checks) want(ok bool, name, detail, problem string) {
	c := Check{Name: name, Verdict: OK, Detail: detail}
	if !ok {
		c.Verdict, c.Detail = Wrong, problem
	}
	*cs = append(*cs, c)
}

func (cs *checks) absent(name, detail string) {
	*cs = append(*cs, Check{Name: name, Verdict: Absent, Detail: detail})
}

func (cs checks) table() *report.Table {
	t := &report.Table{Title: "checks", Columns: []string{"check", "verdict", "detail"}}
	for _, c := range cs {
		t.Add(c.Name, c.Verdict, c.Detail)
	}
	return t
}

// count prints 1928677440 as 1,928,677,440.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// shape prints [2048 1024] as 2048 x 1024, a scalar as "scalar".
func shape(dims []int64) string {
	if len(dims) == 0 {
		return "scalar"
	}
	out := make([]string, len(dims))
	for i, d := range dims {
		out[i] = strconv.FormatInt(d, 10)
	}
	return strings.Join(out, " x ")
}
