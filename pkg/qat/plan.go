package qat

import (
	"errors"
	"fmt"
	"slices"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
)

// LayerPlan is what happens to one projection.
type LayerPlan struct {
	Path        string                 `json:"path"`
	Out         int64                  `json:"out"`
	In          int64                  `json:"in"`
	Weight      quant.WeightScheme     `json:"weight"` // as fitted to the width
	Activation  quant.ActivationScheme `json:"activation"`
	Note        string                 `json:"note,omitempty"` // why the fitted scheme is not the one asked for
	Params      int64                  `json:"params"`         // weights
	BytesBefore int64                  `json:"bytes_before"`   // of the weights in bf16
	BytesAfter  int64                  `json:"bytes_after"`    // packed: codes, scales, zero points
}

// Plan is what Prepare does to a model, in the order of its tree.
type Plan struct {
	Layers []LayerPlan `json:"layers"`
	Tables []LayerPlan `json:"tables,omitempty"` // embeddings that are quantized: Out rows, In wide
	Kept   []string    `json:"kept"`             // projections that stay float
	Notes  []string    `json:"notes,omitempty"`  // configuration without effect
}

// Params is the number of weights that are quantized.
func (p *Plan) Params() (n int64) {
	for _, l := range p.Layers {
		n += l.Params
	}
	return n
}

// Bytes of the quantized weights, in bf16 and packed.
func (p *Plan) Bytes() (before, after int64) {
	for _, l := range p.Layers {
		before, after = before+l.BytesBefore, after+l.BytesAfter
	}
	return before, after
}

// BitsPerWeight is the mean of the packed weights.
func (p *Plan) BitsPerWeight() float64 {
	_, after := p.Bytes()
	return 8 * float64(after) / float64(max(p.Params(), 1))
}

// Scheme is how the layer at path is quantized; two zero schemes (0 bits) when it stays float. Calibration takes it.
func (p *Plan) Scheme(path string) (quant.WeightScheme, quant.ActivationScheme) {
	for _, l := range p.Layers {
		if l.Path == path {
			return l.Weight, l.Activation
		}
	}
	return quant.WeightScheme{}, quant.ActivationScheme{}
}

// Slots are the slots of m that the plan quantizes, in the order of the tree.
func (p *Plan) Slots(m nn.Module) []*nn.Slot { return p.Of(nn.Slots(m)) }

// Of are those of slots that the plan quantizes, in their order.
func (p *Plan) Of(slots []*nn.Slot) (out []*nn.Slot) {
	for _, s := range slots {
		if w, _ := p.Scheme(s.Path); w.Bits != 0 {
			out = append(out, s)
		}
	}
	return out
}

// NewPlan resolves cfg against m's slots and touches no weight, so it also serves a model that was never loaded. One
// error lists a bad configuration, includes and overrides that match nothing, and widths that no group size divides.
func NewPlan(m nn.Module, cfg Config) (*Plan, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	plan, used, overridden := &Plan{}, map[string]bool{}, map[string]bool{}
	var errs []error
	for _, s := range nn.Slots(m) {
		in, out := matchAny(cfg.Include, s.Path, used), matchAny(cfg.Exclude, s.Path, used)
		if !in || out {
			plan.Kept = append(plan.Kept, s.Path)
			continue
		}
		l, err := planLayer(s.Path, s.Out, s.In, cfg, overridden)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		plan.Layers = append(plan.Layers, l)
	}
	errs = append(errs, plan.tables(m, cfg))
	for _, p := range cfg.Include {
		if !used[p] {
			errs = append(errs, fmt.Errorf("qat: include %q matches no projection", p))
		}
	}
	for i, o := range cfg.Overrides {
		if !slices.ContainsFunc(o.Include, func(p string) bool { return overridden[p] }) {
			errs = append(errs, fmt.Errorf("qat: overrides[%d] %q matches no quantized projection", i, o.Include))
		}
	}
	for _, p := range cfg.Exclude {
		if !used[p] {
			plan.Notes = append(plan.Notes, fmt.Sprintf("exclude %q matches no projection", p))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return plan, nil
}

// tables plans the embeddings of m.
func (p *Plan) tables(m nn.Module, cfg Config) error {
	if cfg.Embeddings.Bits == 0 {
		return nil
	}
	var errs []error
	used, overridden := map[string]bool{}, map[string]bool{}
	for _, e := range nn.Embeddings(m) {
		in, out := matchAny(cfg.Embeddings.Include, e.Path, used), matchAny(cfg.Embeddings.Exclude, e.Path, used)
		if !in || out {
			continue
		}
		l, err := planTable(e, cfg, overridden)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.Tables = append(p.Tables, l)
	}
	for _, pattern := range cfg.Embeddings.Include {
		if !used[pattern] {
			errs = append(errs, fmt.Errorf("qat: embeddings.include %q matches no embedding", pattern))
		}
	}
	for i, o := range cfg.Embeddings.Overrides {
		if !slices.ContainsFunc(o.Include, func(p string) bool { return overridden[p] }) {
			errs = append(errs, fmt.Errorf("qat: embeddings.overrides[%d] %q matches no quantized embedding", i, o.Include))
		}
	}
	for _, pattern := range cfg.Embeddings.Exclude {
		if !used[pattern] {
			p.Notes = append(p.Notes, fmt.Sprintf("embeddings.exclude %q matches no embedding", pattern))
		}
	}
	return errors.Join(errs...)
}

func planTable(e *nn.Embedding, cfg Config, overridden map[string]bool) (LayerPlan, error) {
	weight := cfg.Embeddings.scheme(e.Path, overridden)
	return planLayer(e.Path, e.W.Shape[0], e.W.Shape[1], Config{Weight: weight, Fallback: cfg.Fallback}, nil)
}

func planLayer(path string, out, in int64, cfg Config, overridden map[string]bool) (LayerPlan, error) {
	w, a := cfg.schemes(path, overridden)
	fitted, note, err := w.Fit(path, in, cfg.Fallback)
	if err != nil {
		return LayerPlan{}, err
	}
	after, err := fitted.Size(out, in)
	if err != nil {
		return LayerPlan{}, fmt.Errorf("%s: %w", path, err)
	}
	return LayerPlan{
		Path: path, Out: out, In: in, Weight: fitted, Activation: a, Note: note,
		Params: out * in, BytesBefore: 2 * out * in, BytesAfter: after,
	}, nil
}
