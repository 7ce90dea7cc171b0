package qat

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
)

// Prepare swaps a fake-quantized Linear into every slot that cfg targets, and a fake-quantized Embedding in where it
// targets tables, with scales from the weights alone. Weights in
// the masters' dtype move, others are converted and freed. On an error (see NewPlan; also a slot that holds no
// loaded float layer, a weight that is not finite) nothing has been changed.
func Prepare(m nn.Module, cfg Config) (*Plan, error) {
	plan, err := NewPlan(m, cfg)
	if err != nil {
		return nil, err
	}
	slots := slotsByPath(m)
	params := make([]quant.QParams, len(plan.Layers))
	var errs []error
	for i, p := range plan.Layers {
		f, ok := slots[p.Path].P.(*nn.Linear)
		if !ok || f.W.T == nil {
			errs = append(errs, fmt.Errorf("qat: %s holds a %T, want a loaded float layer", p.Path, slots[p.Path].P))
			continue
		}
		if params[i], err = initQParams(f.W.T, p, cfg); err != nil {
			errs = append(errs, err)
		}
	}
	tables, scales := tablesByPath(m), make([][]float32, len(plan.Tables))
	for i, p := range plan.Tables {
		e := tables[p.Path]
		if e.T != nil || e.W.T == nil {
			errs = append(errs, fmt.Errorf("qat: embedding %s holds a %T, want a loaded float table", p.Path, e.T))
			continue
		}
		if scales[i], err = initScales(e.W.T, p, cfg.Init); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i, p := range plan.Tables {
		if err := prepareTable(tables[p.Path], p, scales[i], cfg); err != nil {
			return nil, err
		}
	}
	for i, p := range plan.Layers {
		s := slots[p.Path]
		f := s.P.(*nn.Linear)
		l, err := newLinear(p, cfg.mode(), f.B)
		if err != nil {
			return nil, err
		}
		if err := takeMaster(l.W, f.W, cfg.Masters); err != nil {
			return nil, fmt.Errorf("qat: %s: %w", p.Path, err)
		}
		if err := l.setQParams(params[i]); err != nil {
			return nil, err
		}
		s.P = l
	}
	return plan, nil
}

// takeMaster makes a float parameter's value that of the master to, in the dtype of that name, and leaves the parameter
// without it.
func takeMaster(to, from *nn.Param, name string) (err error) {
	if name != "" {
		to.DType = masters[name]
	}
	dtype, err := nn.DTypeOf(to.DType)
	if err != nil {
		return err
	}
	if from.T.DType() == dtype {
		to.T, from.T = from.T, nil
		return tensor.RequireGrad(to.T, true)
	}
	if to.T, err = masterOf(from.T, dtype); err == nil {
		from.Set(nil)
	}
	return err
}

func tablesByPath(m nn.Module) map[string]*nn.Embedding {
	tables := map[string]*nn.Embedding{}
	for _, e := range nn.Embeddings(m) {
		tables[e.Path] = e
	}
	return tables
}

func slotsByPath(m nn.Module) map[string]*nn.Slot {
	slots := map[string]*nn.Slot{}
	for _, s := range nn.Slots(m) {
		slots[s.Path] = s
	}
	return slots
}

// SetQParams gives prepared layers calibrated weight parameters by path. Layers that are not in q keep theirs. One
// error lists unknown paths and parameters that do not fit; then nothing has been changed.
func SetQParams(m nn.Module, q map[string]quant.QParams) error {
	layers := prepared(m)
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(q)) {
		p, l := q[path], layers[path]
		if l == nil {
			errs = append(errs, fmt.Errorf("qat: parameters for %q, which is not a prepared projection", path))
		} else if err := p.Validate(l.plan.Weight, l.plan.Out, l.plan.In); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for path, p := range q {
		if err := layers[path].setQParams(p); err != nil {
			return err
		}
	}
	return nil
}

// SetInputScales gives prepared layers with static activations their scale by path; it is rounded to the grid. Every
// such layer must get one: a layer without, a path without such a layer and a scale that is not positive are errors.
func SetInputScales(m nn.Module, scales map[string]float32) error {
	layers := prepared(m)
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(scales)) {
		v := scales[path]
		if l := layers[path]; l == nil || l.InputScale == nil {
			errs = append(errs, fmt.Errorf("qat: input scale for %q, which has no static activations", path))
		} else if !(v > 0) {
			errs = append(errs, fmt.Errorf("qat: input scale of %s is %v, want a positive number", path, v))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(layers)) {
		l := layers[path]
		if _, ok := scales[path]; !ok && l.InputScale != nil {
			errs = append(errs, fmt.Errorf("qat: no input scale for %s, whose activations are static", path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for path, v := range scales {
		l := layers[path]
		if err := l.setMaster(l.InputScale, []float32{quant.RoundScale(v)}); err != nil {
			return fmt.Errorf("qat: %s: %w", path, err)
		}
		l.uncalibrated = false
	}
	return nil
}

// prepared are m's fake-quantized layers by path.
func prepared(m nn.Module) map[string]*Linear {
	layers := map[string]*Linear{}
	for _, s := range nn.Slots(m) {
		if l, ok := s.P.(*Linear); ok {
			layers[s.Path] = l
		}
	}
	return layers
}
