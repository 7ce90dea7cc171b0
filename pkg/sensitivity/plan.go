package sensitivity

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/qakd/qakd/pkg/bitalloc"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/report"
)

// Plan is a form for every part.
type Plan struct {
	Budget  int64    `json:"budget"` // bytes
	Bytes   int64    `json:"bytes"`  // of the model.safetensors that the plan becomes
	Damage  float64  `json:"damage"` // nats per frame, summed over the choices
	Choices []Choice `json:"choices"`
	// Quant is the configuration that makes this plan.
	Quant qat.Config `json:"-"`
}

// Choice is the form of one part.
type Choice struct {
	Path   string    `json:"path"`
	Table  bool      `json:"table,omitempty"`
	Scheme string    `json:"scheme"` // "float", "int4 sym g32"
	Bytes  int64     `json:"bytes"`
	Damage float64   `json:"damage"`       // nats per frame
	KL     []float64 `json:"kl,omitempty"` // [G], by codebook; none of float

	form Form
}

// Allocate is the plan of least summed damage whose model.safetensors has at most budget bytes. It is an error when a form has
// not been measured, and when the budget is below the floor, which the error names.
func (v *Inventory) Allocate(t *Table, budget int64) (*Plan, error) {
	if err := v.Fits(budget); err != nil {
		return nil, err
	}
	parts := make([][]bitalloc.Option, len(v.Parts))
	for i, p := range v.Parts {
		for _, f := range p.Forms {
			d, ok := t.Find(p, f)
			if !ok {
				return nil, fmt.Errorf("sensitivity: the damage of %s as %s is not measured", p.Path, f.Scheme())
			}
			parts[i] = append(parts[i], bitalloc.Option{Bytes: f.Bytes, Damage: d.Total()})
		}
	}
	a, err := bitalloc.Solve(parts, budget-v.Fixed)
	if err != nil {
		return nil, fmt.Errorf("sensitivity: %w", err)
	}
	plan := &Plan{Budget: budget, Damage: a.Damage}
	for i, p := range v.Parts {
		f := p.Forms[a.Choice[i]]
		d, _ := t.Find(p, f)
		plan.Choices = append(plan.Choices, Choice{p.Path, p.Table, f.Scheme(), f.Bytes, d.Total(), d.KL, f})
	}
	plan.Quant = v.configure(plan.Choices)
	if plan.Bytes, err = v.size(plan); err != nil {
		return nil, err
	}
	return plan, nil
}

// Fits wants the smallest form of every part to fit into the budget; the error names what that takes.
func (v *Inventory) Fits(budget int64) error {
	floor := v.Fixed
	for _, p := range v.Parts {
		least := p.Forms[0].Bytes
		for _, f := range p.Forms {
			least = min(least, f.Bytes)
		}
		floor += least
	}
	if floor > budget {
		return fmt.Errorf("sensitivity: a budget of %s (%d bytes), but no checkpoint of these forms is smaller than %s (%d bytes)",
			report.Bytes(budget), budget, report.Bytes(floor), floor)
	}
	return nil
}

// size resolves the plan's configuration, wants it to be the plan, and says how large the file becomes.
func (v *Inventory) size(p *Plan) (int64, error) {
	resolved, err := qat.NewPlan(v.model, p.Quant)
	if err != nil {
		return 0, err
	}
	if err := p.Check(resolved); err != nil {
		return 0, err
	}
	tensors, err := qat.Contents(v.model, resolved, v.source)
	if err != nil {
		return 0, err
	}
	return qat.FileSize(tensors)
}

// Check wants of a resolved configuration that it makes this plan: every part in its form, and nothing else quantized.
func (p *Plan) Check(resolved *qat.Plan) error {
	have := map[string]qat.LayerPlan{}
	for _, l := range slices.Concat(resolved.Layers, resolved.Tables) {
		have[l.Path] = l
	}
	var errs []error
	for _, c := range p.Choices {
		l, ok := have[c.Path]
		delete(have, c.Path)
		switch {
		case ok == c.form.Float():
			errs = append(errs, fmt.Errorf("sensitivity: %s is quantized: %v, the plan has %s", c.Path, ok, c.Scheme))
		case ok && (l.Weight != c.form.Plan.Weight || l.Activation != c.form.Plan.Activation):
			errs = append(errs, fmt.Errorf("sensitivity: %s is %v %v, the plan has %s %v", c.Path, l.Weight, l.Activation, c.Scheme, c.form.Plan.Activation))
		}
	}
	for path := range have {
		errs = append(errs, fmt.Errorf("sensitivity: %s is quantized and not in the plan", path))
	}
	return errors.Join(errs...)
}

// Tables of the plan, the most damaged parts first: parts, and totals by form.
func (p *Plan) Tables() []*report.Table {
	parts := &report.Table{
		Title:   fmt.Sprintf("plan for %s: %s, predicted KL %s nats per frame", report.Bytes(p.Budget), report.Bytes(p.Bytes), report.Cell(p.Damage)),
		Columns: []string{"layer", "choice", "bytes", "damage", "code 0", "codes 1…"},
	}
	forms := &report.Table{Title: "forms", Columns: []string{"choice", "layers", "tables", "bytes", "damage"}}
	sorted := slices.Clone(p.Choices)
	slices.SortStableFunc(sorted, func(a, b Choice) int { return cmp.Compare(b.Damage, a.Damage) })
	var names []string
	for _, c := range sorted {
		if c.form.Float() {
			parts.Add(c.Path, c.Scheme, c.Bytes, c.Damage, 0., 0.)
		} else {
			parts.Add(c.Path, c.Scheme, c.Bytes, c.Damage, c.KL[0], c.Damage-c.KL[0])
		}
		if !slices.Contains(names, c.Scheme) {
			names = append(names, c.Scheme)
		}
	}
	slices.Sort(names)
	rest := p.Bytes
	for _, name := range names {
		var layers, tables int
		var bytes int64
		var damage float64
		for _, c := range p.Choices {
			if c.Scheme != name {
				continue
			}
			if c.Table {
				tables++
			} else {
				layers++
			}
			bytes, damage = bytes+c.Bytes, damage+c.Damage
		}
		forms.Add(name, layers, tables, report.Bytes(bytes), damage)
		rest -= bytes
	}
	forms.Add("everything else", "", "", report.Bytes(max(rest, 0)), "")
	forms.Add("all", "", "", report.Bytes(p.Bytes), p.Damage)
	return []*report.Table{parts, forms}
}
