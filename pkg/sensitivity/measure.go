package sensitivity

import (
	"context"
	"fmt"
	"math"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
)

// Study is what damages are measured with.
type Study struct {
	Teacher *talker.Model     // float, loaded
	Probe   *distill.Probe    // of the teacher, on held-out utterances
	Stats   *calib.Statistics // of the inputs of the layers that are measured; nil where there are only tables
	Quant   qat.Config        // how tables are rounded, and how layers compute; its schemes play no part
	Calib   calib.Config      // how layers are rounded (Config.Rounding)
}

// Measure adds to t the damage of every form of parts that it does not have yet, tells it to report, and calls save after each
// part, so that an interruption costs one part at most. Stats are those of these parts.
func (s *Study) Measure(ctx context.Context, parts []Part, t *Table, save func() error, report func(d Damage) error) error {
	student, err := s.Teacher.Share()
	if err != nil {
		return err
	}
	w := &walk{Study: s, student: student, slots: map[string]*nn.Slot{}, tables: map[string]*nn.Embedding{}, behind: map[string]bool{}}
	w.visit()
	for _, p := range parts {
		fresh := false
		for _, f := range p.Forms {
			if _, ok := t.Find(p, f); ok {
				continue
			}
			d, err := w.damage(ctx, p, f)
			if err != nil {
				return fmt.Errorf("sensitivity: %s as %s: %w", p.Path, f.Scheme(), err)
			}
			t.Damages, fresh = append(t.Damages, d), true
			if err := report(d); err != nil {
				return err
			}
		}
		if !fresh {
			continue
		}
		if err := save(); err != nil {
			return err
		}
	}
	return nil
}

// walk swaps parts of the second tree.
type walk struct {
	*Study
	student *talker.Model
	slots   map[string]*nn.Slot
	tables  map[string]*nn.Embedding
	behind  map[string]bool // slots that hidden states do not depend on
}

func (w *walk) visit() {
	for _, s := range nn.Slots(w.student) {
		w.slots[s.Path] = s
	}
	for _, e := range nn.Embeddings(w.student) {
		w.tables[e.Path] = e
	}
	for _, s := range append(nn.Slots(w.student.Predictor), w.student.CodecHead) {
		w.behind[s.Path] = true
	}
}

// damage measures one form.
func (w *walk) damage(ctx context.Context, p Part, f Form) (Damage, error) {
	if err := ctx.Err(); err != nil {
		return Damage{}, err
	}
	swap, measure := w.layer, w.Probe.Measure
	if w.behind[p.Path] {
		measure = w.Probe.MeasureBehind
	}
	if p.Table {
		swap = w.table
	}
	back, err := swap(p.Path, f)
	if err != nil {
		return Damage{}, err
	}
	defer back()
	d, err := measure(ctx, w.student)
	if err != nil {
		return Damage{}, err
	}
	for g, kl := range d.KL {
		if math.IsNaN(kl) || math.IsInf(kl, 0) {
			return Damage{}, fmt.Errorf("KL of codebook %d is %v, want a number", g, kl)
		}
		d.KL[g] = max(kl, 0) // no KL is negative, but a sum of rounded terms may be
	}
	return Damage{Path: p.Path, Scheme: f.Scheme(), Activation: p.activation(f), KL: d.KL}, nil
}

// layer puts a calibrated, fake-quantized copy into a slot; back takes it out and frees it.
func (w *walk) layer(path string, f Form) (back func(), err error) {
	slot := w.slots[path]
	if slot == nil {
		return nil, fmt.Errorf("the model has no such layer")
	}
	float, ok := slot.P.(*nn.Linear)
	if !ok {
		return nil, fmt.Errorf("it holds a %T, want a float layer", slot.P)
	}
	schemes := func(string) (quant.WeightScheme, quant.ActivationScheme) { return f.Plan.Weight, f.Plan.Activation }
	res, err := calib.Fit(w.Stats, []*nn.Slot{slot}, schemes, w.Calib)
	if err != nil {
		return nil, err
	}
	cfg := w.Quant
	cfg.Weight, cfg.Activation, cfg.Overrides = f.Asked, f.Plan.Activation, nil
	if cfg.Activation.Mode == quant.ActivationNone {
		cfg.IntegerForward = false
	}
	l, err := qat.FromFloat(path, float, cfg)
	if err != nil {
		return nil, err
	}
	slot.P = l
	back = func() {
		slot.P = float
		nn.Close(l)
	}
	if err = qat.SetQParams(w.student, res.Weights); err == nil {
		err = qat.SetCodes(w.student, res.Codes)
	}
	if err == nil && len(res.Inputs) > 0 {
		err = qat.SetInputScales(w.student, res.Inputs)
	}
	if err != nil {
		back()
		return nil, err
	}
	return back, nil
}

// table is layer of an embedding table.
func (w *walk) table(path string, f Form) (back func(), err error) {
	e := w.tables[path]
	if e == nil {
		return nil, fmt.Errorf("the model has no such table")
	}
	cfg := w.Quant
	cfg.Embeddings = qat.EmbeddingConfig{Bits: f.Asked.Bits, GroupSize: f.Asked.GroupSize, Include: []string{path}}
	q, err := qat.EmbeddingFromFloat(e, cfg)
	if err != nil {
		return nil, err
	}
	e.T = q
	return func() {
		e.T = nil
		nn.Close(q)
	}, nil
}
