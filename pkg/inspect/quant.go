package inspect

import (
	"fmt"
	"math"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// Quant is how the projections of a checkpoint are quantized; for a float one, how a configuration would do it.
type Quant struct {
	Dir           string       `json:"dir"`
	Kind          string       `json:"kind"`
	Teacher       string       `json:"teacher,omitempty"`
	Layers        []QuantLayer `json:"layers"`
	Embeddings    []QuantLayer `json:"embeddings,omitempty"` // embeddings, which count in none of the numbers below but AllEmbeddings
	AllEmbeddings Sum          `json:"all_embeddings"`
	Kept          []string     `json:"kept"` // projections that stay float
	Notes         []string     `json:"notes,omitempty"`

	Rotations []qat.Rotation `json:"rotations,omitempty"` // that the model computes as it runs

	Params        int64    `json:"params"`       // quantized weights
	BytesBefore   int64    `json:"bytes_before"` // of them in bf16
	BytesAfter    int64    `json:"bytes_after"`  // packed: codes, scales, zero points
	BitsPerWeight float64  `json:"bits_per_weight"`
	SQNR          *float64 `json:"sqnr_db,omitempty"` // of all quantized weights together; with a teacher only
	Rest          Part     `json:"rest"`              // what is not quantized, as the file has it
}

// Sum of quantized matrices.
type Sum struct {
	Params      int64 `json:"params"`
	BytesBefore int64 `json:"bytes_before"` // in bf16
	BytesAfter  int64 `json:"bytes_after"`
}

// QuantLayer is one projection.
type QuantLayer struct {
	qat.LayerPlan
	Scales        int64    `json:"scales"`
	ScaleMin      *float32 `json:"scale_min,omitempty"` // absent for a float checkpoint
	ScaleMax      *float32 `json:"scale_max,omitempty"`
	BitsPerWeight float64  `json:"bits_per_weight"`
	SQNR          *float64 `json:"sqnr_db,omitempty"` // against the teacher's weight
}

// Quant looks at the schemes. It reads scales; weights only to compare them with those of the float checkpoint teacher
// ("" for none). cfg is what a float checkpoint is planned with.
func (c *Checkpoint) Quant(cfg qat.Config, teacher string) (*Quant, error) {
	q := &Quant{Dir: c.Dir, Kind: c.Kind, Teacher: teacher, Layers: []QuantLayer{}, Kept: []string{}}
	plans, err := c.plans(q, cfg)
	if err != nil {
		return nil, err
	}
	for _, s := range nn.Slots(c.model) {
		p, ok := plans[s.Path]
		if !ok {
			q.Kept = append(q.Kept, s.Path)
			continue
		}
		rows, groups, err := p.Weight.ParamShape(p.Out, p.In)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Path, err)
		}
		q.Layers = append(q.Layers, QuantLayer{
			LayerPlan: p, Scales: rows * groups, BitsPerWeight: 8 * float64(p.BytesAfter) / float64(p.Params),
		})
		q.Params, q.BytesBefore, q.BytesAfter = q.Params+p.Params, q.BytesBefore+p.BytesBefore, q.BytesAfter+p.BytesAfter
	}
	for _, e := range nn.Embeddings(c.model) {
		p, ok := plans[e.Path]
		if !ok {
			continue
		}
		rows, groups, err := p.Weight.ParamShape(p.Out, p.In)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Path, err)
		}
		q.Embeddings = append(q.Embeddings, QuantLayer{LayerPlan: p, Scales: rows * groups, BitsPerWeight: 8 * float64(p.BytesAfter) / float64(p.Params)})
		q.AllEmbeddings.Params += p.Params
		q.AllEmbeddings.BytesBefore += p.BytesBefore
		q.AllEmbeddings.BytesAfter += p.BytesAfter
	}
	q.BitsPerWeight = 8 * float64(q.BytesAfter) / float64(max(q.Params, 1))
	c.rest(q, plans)
	if c.Kind == "float" {
		if teacher != "" {
			return nil, fmt.Errorf("%s is a float checkpoint: there is nothing to compare with teacher %s, want a quantized one", c.Dir, teacher)
		}
		return q, nil
	}
	if err := c.readScales(q); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Dir, err)
	}
	if teacher != "" && len(q.Rotations) > 0 {
		return nil, fmt.Errorf("%s: its weights carry rotations, and those of teacher %s do not: there is nothing to compare by layers", c.Dir, teacher)
	}
	if teacher != "" {
		return q, c.compare(q, teacher)
	}
	return q, nil
}

// plans by path: those of the file, or of cfg where it is float.
func (c *Checkpoint) plans(q *Quant, cfg qat.Config) (map[string]qat.LayerPlan, error) {
	var layers []qat.LayerPlan
	if c.Kind == "float" {
		plan, err := qat.NewPlan(c.model, cfg)
		if err != nil {
			return nil, err
		}
		layers, q.Notes = append(plan.Layers, plan.Tables...), plan.Notes
	} else {
		folder, err := qat.Describe(c.Dir)
		if err != nil {
			return nil, err
		}
		layers = append(folder.Layers, folder.Tables...)
		q.Rotations = folder.Rotations
	}
	plans := map[string]qat.LayerPlan{}
	for _, l := range layers {
		s := c.matrices[l.Path]
		if s == nil || s.Out != l.Out || s.In != l.In {
			return nil, fmt.Errorf("%s: quantized layer %s [%d, %d] is not in the model of config.json", c.Dir, l.Path, l.Out, l.In)
		}
		plans[l.Path] = l
	}
	return plans, nil
}

// rest adds up the tensors that belong to no quantized weight.
func (c *Checkpoint) rest(q *Quant, plans map[string]qat.LayerPlan) {
	of := map[string]bool{}
	for path := range plans {
		for _, suffix := range append([]string{".weight", ".weight_packed"}, beside...) {
			of[path+suffix] = true
		}
	}
	q.Rest.Name = "not quantized"
	for _, info := range c.Header.Infos {
		if !of[info.Name] {
			q.Rest.Tensors, q.Rest.Parameters, q.Rest.Bytes = q.Rest.Tensors+1, q.Rest.Parameters+c.params(info), q.Rest.Bytes+info.Bytes
		}
	}
}

// noise adds the errors of several weights up to one ratio.
type noise struct{ signal, error float64 }

func (n *noise) add(x []float32, s quant.ErrorStats) {
	power := 0.0
	for _, v := range x {
		power += float64(v) * float64(v)
	}
	n.signal += power
	if s.SQNR < quant.MaxSQNR {
		n.error += power / math.Pow(10, s.SQNR/10)
	}
}

// sqnr is in dB, within the bounds that package quant has.
func (n *noise) sqnr() float64 {
	if n.error == 0 {
		return quant.MaxSQNR
	}
	return min(max(10*math.Log10(n.signal/n.error), -quant.MaxSQNR), quant.MaxSQNR)
}
