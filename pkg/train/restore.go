package train

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// newest finds the last complete checkpoint of dir; path is "" when dir has none at all. damage says which newer ones
// were passed over, and why. A folder that has only damaged ones is an error.
func newest(dir string) (path string, st State, damage []error, err error) {
	paths, err := checkpoints(dir)
	if err != nil {
		return "", State{}, nil, err
	}
	for _, p := range paths {
		st, err := readState(p)
		if err == nil {
			return p, st, damage, nil
		}
		damage = append(damage, err)
	}
	if len(damage) > 0 {
		return "", State{}, nil, fmt.Errorf("train: no complete checkpoint in %s: %w", dir, errors.Join(damage...))
	}
	return "", State{}, nil, nil
}

// harmless settings change what a run writes or how much memory it takes, not what it computes.
var harmless = map[string]bool{
	"checkpoint_every": true, "keep_checkpoints": true, "log_every": true, "trim_every": true, "gradient_checkpointing": true,
}

// sameSettings wants the settings of the checkpoint at path; the error lists every key that differs.
func sameSettings(path string, now Settings, st State) error {
	strip := func(s Settings) Settings {
		out := Settings{}
		for k, v := range s {
			if last := k[strings.LastIndexByte(k, '.')+1:]; !harmless[last] {
				out[k] = v
			}
		}
		return out
	}
	if d := strip(now).differences(strip(st.Settings)); len(d) > 0 {
		return fmt.Errorf("train: cannot resume %s with other settings: %s", path, strings.Join(d, "; "))
	}
	return nil
}

// vacant wants no checkpoint in dir: a new training must not mix with an old one.
func vacant(dir string) error {
	paths, err := checkpoints(dir)
	if err != nil {
		return err
	}
	if len(paths) > 0 {
		return fmt.Errorf("train: %s: %w: resume it or choose another folder", paths[0], fs.ErrExist)
	}
	return nil
}

// restore replaces the value of every parameter of m, strictly: names, shapes and dtypes must be m's own.
func restore(m nn.Module, src ckpt.Source) error {
	params := nn.Params(m)
	want := make([]ckpt.Info, len(params))
	for i, p := range params {
		if p.T == nil {
			return fmt.Errorf("train: parameter %q has no value to replace", p.Name)
		}
		want[i] = ckpt.Info{Name: p.Name, Shape: p.Shape, DType: nn.DTypeName(p.T.DType())}
	}
	if err := ckpt.Check(src.Infos(), want); err != nil {
		return fmt.Errorf("train: checkpoint does not fit the model: %w", err)
	}
	for _, p := range params {
		if err := replace(p, src); err != nil {
			return fmt.Errorf("train: tensor %q: %w", p.Name, err)
		}
	}
	return nil
}

// replace loads p's value with p's dtype, device and recording.
func replace(p *nn.Param, src ckpt.Source) error {
	info, data, err := src.Bytes(p.Name)
	if err != nil {
		return err
	}
	var fresh *ts.Tensor
	err = tensor.Run(func(s *tensor.Scope) error {
		dtype, err := nn.DTypeOf(info.DType)
		if err != nil {
			return err
		}
		device, err := p.T.Device()
		if err != nil {
			return err
		}
		t, err := tensor.New(dtype, info.Shape, data)
		if err != nil {
			return err
		}
		t = s.Own(t)
		if device.Name != gotch.CPU.Name {
			t = s.ToDevice(t, device)
		}
		records, err := p.T.RequiresGrad()
		if err != nil {
			return err
		}
		if err := tensor.RequireGrad(t, records); err != nil {
			return err
		}
		fresh = s.Release(t)
		return nil
	})
	if err == nil {
		p.Set(fresh)
	}
	return err
}
