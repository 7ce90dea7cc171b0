package sensitivity

import (
	"fmt"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// Float is the name of the form that is not quantized.
const Float = "float"

// Part is a layer or an embedding table, and the forms that it can have.
type Part struct {
	Path  string
	Table bool
	Forms []Form
}

// Form is one way to store a part.
type Form struct {
	Asked quant.WeightScheme // what a configuration asks for; the zero value: float
	Plan  qat.LayerPlan      // what that becomes: the scheme as fitted to the width
	Bytes int64              // in the checkpoint, with its entries in the header
}

// Float tells whether the part stays as it is.
func (f Form) Float() bool { return f.Asked.Bits == 0 }

// Scheme names the form: "float", "int4 sym g32".
func (f Form) Scheme() string {
	if f.Float() {
		return Float
	}
	return f.Plan.Weight.String()
}

// Inventory is what the packed checkpoint of a model consists of.
type Inventory struct {
	Parts []Part // layers, then tables, each in the order of the tree
	Fixed int64  // bytes of everything else: norms, biases, layers that are excluded, what is carried over, the file's frame

	model  nn.Module
	source string
	base   qat.Config
}

// NewInventory lists the layers of m, a float model from the checkpoint folder source, that base quantizes, and the tables that
// base's patterns for embeddings name, whether it quantizes them or not. A group size that a width does not allow (see
// qat.Config.Fallback) is left out.
func NewInventory(m nn.Module, source string, base qat.Config, cfg Config) (*Inventory, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("sensitivity: %w", err)
	}
	listing := base
	listing.Embeddings = qat.EmbeddingConfig{Bits: 8, Include: base.Embeddings.Include, Exclude: base.Embeddings.Exclude}
	plan, err := qat.NewPlan(m, listing)
	if err != nil {
		return nil, err
	}
	all, err := qat.Contents(m, &qat.Plan{}, source)
	if err != nil {
		return nil, err
	}
	size, err := qat.FileSize(all)
	if err != nil {
		return nil, err
	}
	v := &Inventory{model: m, source: source, base: base}
	float := map[string]ckpt.Tensor{}
	for _, t := range all {
		float[t.Name] = t
	}
	for _, l := range plan.Layers {
		err = v.add(Part{Path: l.Path}, l, cfg.Bits, cfg.Groups, float, size)
		if err != nil {
			return nil, err
		}
	}
	for _, l := range plan.Tables {
		err = v.add(Part{Path: l.Path, Table: true}, l, cfg.TableBits, cfg.TableGroups, float, size)
		if err != nil {
			return nil, err
		}
	}
	frame, err := qat.FileSize(nil)
	if err != nil {
		return nil, err
	}
	v.Fixed = frame + 8 // of padding
	for _, t := range float {
		n, err := ckpt.EntryBytes(t, size)
		if err != nil {
			return nil, err
		}
		v.Fixed += n
	}
	return v, nil
}

// Suits tells which layer, in which of its forms, cfg cannot round.
func (v *Inventory) Suits(cfg calib.Config) error {
	for _, p := range v.Parts {
		for _, f := range p.Forms {
			if p.Table || f.Float() {
				continue
			}
			if err := cfg.Suits(f.Plan.Weight); err != nil {
				return fmt.Errorf("sensitivity: %s: %w", p.Path, err)
			}
		}
	}
	return nil
}

// add lists the forms of a part and takes its weight out of what is left in float. size is that of the whole float file.
func (v *Inventory) add(p Part, l qat.LayerPlan, bits []int, groups []int64, float map[string]ckpt.Tensor, size int64) error {
	weight, ok := float[l.Path+".weight"]
	if !ok {
		return fmt.Errorf("sensitivity: %s has no tensor %q", v.source, l.Path+".weight")
	}
	delete(float, weight.Name)
	seen := map[quant.WeightScheme]bool{}
	for _, b := range bits {
		if b == 16 {
			if err := p.take(Form{}, size, weight); err != nil {
				return err
			}
			continue
		}
		for _, g := range groups {
			f := Form{Asked: quant.WeightScheme{Bits: b, Symmetric: l.Weight.Symmetric, Granularity: quant.PerGroup, GroupSize: g}, Plan: l}
			if g == 0 {
				f.Asked.Granularity = quant.PerChannel
			}
			fitted, _, err := f.Asked.Fit(l.Path, l.In, v.base.Fallback)
			if err != nil || seen[fitted] {
				continue
			}
			seen[fitted], f.Plan.Weight = true, fitted
			tensors, err := f.Plan.Stored(p.Table)
			if err != nil {
				return err
			}
			if err := p.take(f, size, tensors...); err != nil {
				return err
			}
		}
	}
	if len(p.Forms) == 0 {
		return fmt.Errorf("sensitivity: %s, %d wide: no group size of %v divides it; allow others, 16 bits or quant.fallback", l.Path, l.In, groups)
	}
	v.Parts = append(v.Parts, p)
	return nil
}

// take adds a form that is stored as these tensors.
func (p *Part) take(f Form, size int64, tensors ...ckpt.Tensor) error {
	for _, t := range tensors {
		n, err := ckpt.EntryBytes(t, size)
		if err != nil {
			return err
		}
		f.Bytes += n
	}
	p.Forms = append(p.Forms, f)
	return nil
}
