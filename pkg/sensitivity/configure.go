package sensitivity

import (
	"slices"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// schemes are what an override sets of a layer.
type schemes struct {
	weight     quant.WeightScheme
	activation quant.ActivationScheme
}

// configure is the base configuration with exclude, overrides and embeddings of the choices. Rules of the base for layers that
// are quantized are replaced; what it excludes stays excluded.
func (v *Inventory) configure(choices []Choice) qat.Config {
	cfg := v.base
	var floats []labeled[bool]
	var layers []labeled[schemes]
	var tables []labeled[quant.WeightScheme]
	for _, c := range choices {
		switch {
		case c.Table:
			tables = append(tables, labeled[quant.WeightScheme]{c.Path, c.form.Asked})
		case c.form.Float():
			floats = append(floats, labeled[bool]{c.Path, true})
		default:
			floats = append(floats, labeled[bool]{c.Path, false})
			layers = append(layers, labeled[schemes]{c.Path, schemes{c.form.Asked, c.form.Plan.Activation}})
		}
	}
	cfg.Exclude = append(slices.Clone(cfg.Exclude), selection(floats, true)...)
	cfg.Overrides = nil
	usual := schemes{cfg.Weight.Normal(), cfg.Activation.Normal()}
	for _, r := range rules(layers, usual) {
		o := qat.Override{Include: r.patterns, Weight: &r.label.weight}
		if r.label.activation != usual.activation {
			o.Activation = &r.label.activation
		}
		cfg.Overrides = append(cfg.Overrides, o)
	}
	cfg.Embeddings = embeddings(v.base.Embeddings, tables, v.outside())
	return cfg
}

// outside are the tables that are no part of the inventory.
func (v *Inventory) outside() (paths []string) {
	for _, e := range nn.Embeddings(v.model) {
		if !slices.ContainsFunc(v.Parts, func(p Part) bool { return p.Path == e.Path }) {
			paths = append(paths, e.Path)
		}
	}
	return paths
}

// embeddings names the quantized tables by patterns that match none outside, and gives most of them the scheme of most.
func embeddings(base qat.EmbeddingConfig, tables []labeled[quant.WeightScheme], outside []string) qat.EmbeddingConfig {
	var in []labeled[bool]
	for _, path := range outside {
		in = append(in, labeled[bool]{path, false})
	}
	var quantized []labeled[quant.WeightScheme]
	for _, t := range tables {
		in = append(in, labeled[bool]{t.path, t.label.Bits != 0})
		if t.label.Bits != 0 {
			quantized = append(quantized, t)
		}
	}
	if len(quantized) == 0 {
		return qat.EmbeddingConfig{Include: base.Include, Exclude: base.Exclude}
	}
	usual := majority(quantized)
	cfg := qat.EmbeddingConfig{Bits: usual.Bits, GroupSize: usual.GroupSize, Include: selection(in, true), Exclude: base.Exclude}
	for _, r := range rules(quantized, usual) {
		cfg.Overrides = append(cfg.Overrides, qat.EmbeddingOverride{Include: r.patterns, Bits: r.label.Bits, GroupSize: r.label.GroupSize})
	}
	return cfg
}
