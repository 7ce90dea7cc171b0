package nn

import (
	"cmp"
	"fmt"
	"io"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// dtypes of safetensors that a module can hold.
var dtypes = map[string]gotch.DType{
	"F64": gotch.Double, "F32": gotch.Float, "F16": gotch.Half, "BF16": gotch.BFloat16,
	"I64": gotch.Int64, "I32": gotch.Int, "I16": gotch.Int16, "I8": gotch.Int8, "U8": gotch.Uint8, "BOOL": gotch.Bool,
}

// DTypeOf is gotch's dtype for a safetensors name such as "BF16".
func DTypeOf(name string) (gotch.DType, error) {
	if d, ok := dtypes[name]; ok {
		return d, nil
	}
	return gotch.Invalid, fmt.Errorf("nn: dtype %q has no tensor type", name)
}

// DTypeName is the safetensors name of a dtype, or "" when the format has none.
func DTypeName(d gotch.DType) string {
	for name, t := range dtypes {
		if t == d {
			return name
		}
	}
	return ""
}

// LoadOptions of Load.
type LoadOptions struct {
	DType  gotch.DType            // of parameters that fix none themselves; the zero value is not valid
	Device gotch.Device           // where they go
	Ignore func(name string) bool // tensors of the source that are not m's business; nil ignores none
	// Mapped makes parameters that keep the file's dtype on the CPU views of the mapped file, where the source is a
	// ckpt.Placer: nothing is read or copied, processes share the pages, and values are not looked at.
	Mapped bool
}

// Load fills every parameter of m from src. It is strict: one error lists all missing, unexpected and mis-shaped
// tensors, and then nothing has been changed. A value that is not finite is an error that names its tensor.
func Load(m Module, src ckpt.Source, opt LoadOptions) error {
	if !isFloat(opt.DType) {
		return fmt.Errorf("nn: parameters of dtype %v, want Float, BFloat16, Half or Double", opt.DType)
	}
	params := Params(m)
	want := make([]ckpt.Info, len(params))
	for i, p := range params {
		want[i] = ckpt.Info{Name: p.Name, DType: cmp.Or(p.DType, ckpt.AnyFloat), Shape: p.Shape}
	}
	var have []ckpt.Info
	for _, info := range src.Infos() {
		if opt.Ignore == nil || !opt.Ignore(info.Name) {
			have = append(have, info)
		}
	}
	if err := ckpt.Check(have, want); err != nil {
		return err
	}
	loaded := make([]*ts.Tensor, len(params))
	err := tensor.Run(func(s *tensor.Scope) error { // which keeps the mapped files while views are made
		maps := mapper{s, src, opt, map[mapping]*ts.Tensor{}}
		for i, p := range params {
			if p.Outside {
				continue
			}
			t, err := maps.view(p)
			if t == nil && err == nil {
				t, err = load(p, src, opt)
			}
			if err != nil {
				return fmt.Errorf("tensor %q: %w", p.Name, err)
			}
			loaded[i] = t
		}
		return nil
	})
	for i, p := range params {
		switch t := loaded[i]; {
		case err == nil && !p.Outside:
			p.Set(t)
		case t != nil:
			t.Drop()
		}
	}
	return err
}

// Tensors are m's parameters as ckpt.Write takes them; float32 ones are stored as dtype ("" keeps float32). They stream:
// nothing is copied before it is written, and m must live until then.
func Tensors(m Module, dtype string) ([]ckpt.Tensor, error) {
	var out []ckpt.Tensor
	for _, p := range Params(m) {
		name := dtype
		if p.T != nil && (p.DType != "" || dtype == "" || p.T.DType() != gotch.Float) {
			name = DTypeName(p.T.DType())
		}
		t, err := Stored(p, name)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// Stored is p as ckpt.Write takes it, converted to dtype while it is written; p must keep its value until then.
func Stored(p *Param, dtype string) (ckpt.Tensor, error) {
	if p.T == nil {
		return ckpt.Tensor{}, fmt.Errorf("nn: parameter %q has no value", p.Name)
	}
	to, err := DTypeOf(dtype)
	if err != nil {
		return ckpt.Tensor{}, fmt.Errorf("nn: parameter %q: %w", p.Name, err)
	}
	t := p.T
	return ckpt.Tensor{Name: p.Name, DType: dtype, Shape: p.Shape, Stream: func(w io.Writer) error {
		return tensor.Run(func(s *tensor.Scope) error {
			b, err := tensor.Bytes(s.To(s.Detach(t), to))
			if err != nil {
				return err
			}
			_, err = w.Write(b)
			return err
		})
	}}, nil
}

// Save writes m's parameters to one safetensors file, atomically; see Tensors for dtype.
func Save(path string, m Module, dtype string, meta map[string]string) error {
	tensors, err := Tensors(m, dtype)
	if err != nil {
		return err
	}
	return ckpt.Write(path, tensors, meta)
}
