package sensitivity

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/qakd/qakd/pkg/report"
)

// Tables show the measured damages of the inventory's forms in nats per frame: of each part, the most damaged first, and of each
// codebook, summed over parts.
func (v *Inventory) Tables(t *Table) []*report.Table {
	parts := &report.Table{
		Title:   "damage of one layer alone, nats per frame",
		Columns: []string{"layer", "form", "bytes", "damage", "code 0", "codes 1…", "worst code"},
	}
	type row struct {
		Part
		Form
		Damage
	}
	var rows []row
	var names []string
	for _, p := range v.Parts {
		for _, f := range p.Forms {
			d, ok := t.Find(p, f)
			if !ok || f.Float() {
				continue
			}
			rows = append(rows, row{p, f, d})
			if !slices.Contains(names, f.Scheme()) {
				names = append(names, f.Scheme())
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(b.Total(), a.Total()) })
	slices.Sort(names)
	codebooks := &report.Table{Title: "damage by codebook, summed over layers and tables, nats per frame", Columns: append([]string{"codebook"}, names...)}
	sums := map[string][]float64{}
	for _, r := range rows {
		worst := 0
		for g, kl := range r.KL {
			if kl > r.KL[worst] {
				worst = g
			}
			if len(sums[r.Form.Scheme()]) == 0 {
				sums[r.Form.Scheme()] = make([]float64, len(r.KL))
			}
			sums[r.Form.Scheme()][g] += kl
		}
		parts.Add(r.Part.Path, r.Form.Scheme(), r.Bytes, r.Total(), r.KL[0], r.Total()-r.KL[0], fmt.Sprintf("%d: %s", worst, report.Cell(r.KL[worst])))
	}
	if len(rows) > 0 {
		for g := range rows[0].KL {
			cells := []any{g}
			for _, name := range names {
				cells = append(cells, sums[name][g])
			}
			codebooks.Add(cells...)
		}
	}
	return []*report.Table{codebooks, parts}
}
