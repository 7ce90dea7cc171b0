package optim

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"

	"github.com/qakd/qakd/internal/native/adamw"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Format is the value of the metadata key "optimizer" in a file of this state.
const Format = "adamw-1"

// entry is one tensor of the state. A nil tensor stands for the step count.
type entry struct {
	info ckpt.Info
	at   **ts.Tensor
	st   *state
}

func (o *AdamW) entries() []entry {
	var out []entry
	for _, st := range o.states {
		name, shape := st.param.Name, st.param.Shape
		add := func(suffix, dtype string, shape []int64, at **ts.Tensor) {
			out = append(out, entry{ckpt.Info{Name: name + suffix, DType: dtype, Shape: shape}, at, st})
		}
		for _, m := range []struct {
			suffix string
			*moment
		}{{".exp_avg", &st.m}, {".exp_avg_sq", &st.v}} {
			if m.largest == nil {
				add(m.suffix, "F32", shape, &m.value)
			} else {
				add(m.suffix, "U8", shape, &m.value)
				add(m.suffix+".absmax", "F32", []int64{adamw.Blocks(elements(shape))}, &m.largest)
			}
		}
		if st.master != nil {
			add(".master", "F32", shape, &st.master)
		}
		out = append(out, entry{ckpt.Info{Name: name + ".step", DType: "I64", Shape: []int64{}}, nil, st})
	}
	return out
}

// Tensors are the state, for ckpt.Write; they are read while it writes.
func (o *AdamW) Tensors() []ckpt.Tensor {
	var out []ckpt.Tensor
	for _, e := range o.entries() {
		t := ckpt.Tensor{Name: e.info.Name, DType: e.info.DType, Shape: e.info.Shape}
		if e.at == nil {
			t.Data = binary.LittleEndian.AppendUint64(nil, uint64(e.st.step))
		} else {
			at := e.at
			t.Stream = func(w io.Writer) error {
				b, err := tensor.Bytes(*at)
				if err == nil {
					_, err = w.Write(b)
				}
				return err
			}
		}
		out = append(out, t)
	}
	return out
}

// Metadata describes the state: its format and the numbers that shaped it.
func (o *AdamW) Metadata() map[string]string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	meta := map[string]string{
		"optimizer": Format, "beta1": number(o.cfg.Beta1), "beta2": number(o.cfg.Beta2), "eps": number(o.cfg.Eps), "clip_norm": number(o.cfg.ClipNorm),
		"state_bits": strconv.Itoa(o.cfg.StateBits), "weights": string(o.cfg.Weights), "rounding_seed": strconv.FormatInt(o.cfg.Seed, 10),
	}
	o.scale.describe(meta)
	for _, g := range o.groups {
		meta["group."+g.Name] = fmt.Sprintf("lr=%s weight_decay=%s params=%d", number(g.LR), number(g.WeightDecay), len(g.Params))
	}
	return meta
}

// Save writes the state to one safetensors file, atomically.
func (o *AdamW) Save(path string) error { return ckpt.Write(path, o.Tensors(), o.Metadata()) }

// Load reads what Save wrote; see Restore.
func (o *AdamW) Load(path string) error {
	src, err := ckpt.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	if f := src.Metadata()["optimizer"]; f != Format {
		return fmt.Errorf("optim: %s: metadata \"optimizer\" is %q, want %q", path, f, Format)
	}
	if err := o.sameForm(src.Metadata()); err != nil {
		return fmt.Errorf("optim: %s: %w", path, err)
	}
	if err := o.Restore(src); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := o.scale.restore(src.Metadata()); err != nil {
		return fmt.Errorf("optim: %s: %w", path, err)
	}
	return nil
}

// sameForm wants a state of the same form and rounding as o's. Files from before there was a choice have no word of it.
func (o *AdamW) sameForm(meta map[string]string) error {
	before := map[string]string{"state_bits": "32", "weights": string(Masters)}
	for _, key := range []string{"state_bits", "weights", "rounding_seed"} {
		have, ok := meta[key]
		if !ok {
			have = before[key]
		}
		if want := o.Metadata()[key]; have != want && (key != "rounding_seed" || o.cfg.Weights == Stochastic) {
			return fmt.Errorf("%s of the state is %q, that of this optimizer %q: a training goes on with what it began with", key, have, want)
		}
	}
	return nil
}

// Restore replaces the state, strictly: one error lists all missing, unexpected and mis-shaped tensors, and then nothing
// has been changed. Parameters are not part of it; load them first.
func (o *AdamW) Restore(src ckpt.Source) error {
	entries := o.entries()
	want := make([]ckpt.Info, len(entries))
	for i, e := range entries {
		want[i] = e.info
	}
	if err := ckpt.Check(src.Infos(), want); err != nil {
		return fmt.Errorf("optim: the state does not fit the parameters: %w", err)
	}
	fresh := make([]*ts.Tensor, len(entries))
	steps := make([]int64, len(entries))
	for i, e := range entries {
		var err error
		if fresh[i], steps[i], err = read(src, e); err != nil {
			for _, t := range fresh[:i] {
				if t != nil {
					t.Drop()
				}
			}
			return fmt.Errorf("optim: tensor %q: %w", e.info.Name, err)
		}
	}
	for i, e := range entries {
		if e.at == nil {
			e.st.step = steps[i]
			continue
		}
		(*e.at).Drop()
		*e.at = fresh[i]
		e.st.mapped = nil
	}
	return nil
}

// read is the tensor of e, on its parameter's device, or the step count.
func read(src ckpt.Source, e entry) (t *ts.Tensor, step int64, err error) {
	_, data, err := src.Bytes(e.info.Name)
	if err != nil {
		return nil, 0, err
	}
	if e.at == nil {
		step = int64(binary.LittleEndian.Uint64(data))
		if step < 0 {
			return nil, 0, fmt.Errorf("is %d, want a count >= 0", step)
		}
		return nil, step, nil
	}
	err = tensor.Run(func(s *tensor.Scope) error {
		device, err := e.st.param.T.Device()
		if err != nil {
			return err
		}
		dtype, err := nn.DTypeOf(e.info.DType)
		if err != nil {
			return err
		}
		x, err := tensor.New(dtype, e.info.Shape, data)
		if err != nil {
			return err
		}
		s.Own(x)
		if device.Name != gotch.CPU.Name {
			x = s.ToDevice(x, device)
		}
		t = s.Release(x)
		return nil
	})
	return t, 0, err
}
