package inspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// readScales finds the range of the effective scales of every layer: a student's masters are rounded to the grid.
func (c *Checkpoint) readScales(q *Quant) error {
	src, err := ckpt.Open(c.Dir)
	if err != nil {
		return err
	}
	defer src.Close()
	for i := range q.Layers {
		l := &q.Layers[i]
		scales, err := floats(src, l.Path+".weight_scale")
		if err != nil {
			return err
		}
		if int64(len(scales)) != l.Scales {
			return fmt.Errorf("tensor %q has %d values, want %d for %v", l.Path+".weight_scale", len(scales), l.Scales, l.Weight)
		}
		if c.Kind == "student" {
			for j, s := range scales {
				scales[j] = quant.RoundScale(s)
			}
		}
		lo, hi := slices.Min(scales), slices.Max(scales)
		if lo != lo || hi != hi {
			return fmt.Errorf("tensor %q holds NaN, want finite scales", l.Path+".weight_scale")
		}
		l.ScaleMin, l.ScaleMax = &lo, &hi
	}
	return nil
}

// floats reads a tensor of any float dtype.
func floats(src ckpt.Source, name string) ([]float32, error) {
	info, data, err := src.Bytes(name)
	if err != nil {
		return nil, err
	}
	dtype, err := nn.DTypeOf(info.DType)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	t, err := tensor.New(dtype, info.Shape, data)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	defer t.Drop()
	return tensor.Floats(t)
}

// compare measures every quantized weight against the teacher's, one in memory at a time.
func (c *Checkpoint) compare(q *Quant, teacher string) error {
	t, err := Open(teacher)
	if err != nil {
		return err
	}
	if t.Kind != "float" {
		return fmt.Errorf("teacher %s is %s, want a float checkpoint", teacher, t.Kind)
	}
	float, err := t.weights()
	if err != nil {
		return err
	}
	defer float.src.Close()
	quantized, err := c.weights()
	if err != nil {
		return err
	}
	defer quantized.src.Close()
	var all noise
	for i := range q.Layers {
		l := &q.Layers[i]
		if s := float.slots[l.Path]; s == nil || s.Out != l.Out || s.In != l.In {
			return fmt.Errorf("teacher %s has no projection %s [%d, %d] as %s has", teacher, l.Path, l.Out, l.In, c.Dir)
		}
		x, err := float.read(l.Path)
		if err != nil {
			return fmt.Errorf("teacher %s: %w", teacher, err)
		}
		y, err := quantized.read(l.Path)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Dir, err)
		}
		s, err := quant.CompareValues(x, y)
		if err != nil {
			return fmt.Errorf("%s: %w", l.Path, err)
		}
		l.SQNR = &s.SQNR
		all.add(x, s)
	}
	total := all.sqnr()
	q.SQNR = &total
	return nil
}

// weights reads the dense weights of a checkpoint of any kind.
type weights struct {
	src   *ckpt.Reader
	slots map[string]*nn.Slot
}

// weights declares a model with the projections that the file has; the caller closes src.
func (c *Checkpoint) weights() (*weights, error) {
	m, err := talker.New(c.Config)
	if err != nil {
		return nil, err
	}
	if err := qat.FromCheckpoint(m, c.Dir); err != nil {
		return nil, err
	}
	src, err := ckpt.Open(c.Dir)
	if err != nil {
		return nil, err
	}
	w := &weights{src: src, slots: map[string]*nn.Slot{}}
	for _, s := range nn.Slots(m) {
		w.slots[s.Path] = s
	}
	return w, nil
}

// read is the dense weight [out·in] that the projection at path, one of slots, applies.
func (w *weights) read(path string) (values []float32, err error) {
	s := w.slots[path]
	others := func(name string) bool { return !strings.HasPrefix(name, path+".") }
	if err := nn.Load(s, w.src, nn.LoadOptions{DType: gotch.Float, Device: gotch.CPU, Ignore: others}); err != nil {
		return nil, err
	}
	defer nn.Close(s)
	nn.NoGrad(func() {
		err = nn.Run(func(c *nn.Context) error {
			values, err = tensor.Floats(s.P.Weight(c))
			return err
		})
	})
	return values, err
}
