package quant

import (
	"errors"
	"fmt"
)

// Granularity says which weights share one scale (and zero point).
type Granularity int

// Shapes of the scale for a weight [N, K].
const (
	PerTensor  Granularity = iota // one scale: [1, 1]
	PerChannel                    // one per output row: [N, 1]
	PerGroup                      // one per group of consecutive inputs: [N, K/GroupSize]
)

var granularities = []string{"per_tensor", "per_channel", "per_group"}

func (g Granularity) String() string { return name(granularities, int(g)) }

// MarshalText writes per_tensor, per_channel or per_group.
func (g Granularity) MarshalText() ([]byte, error) {
	return marshal("granularity", granularities, int(g))
}

// UnmarshalText reads what MarshalText writes; another word is an error that lists the choices.
func (g *Granularity) UnmarshalText(b []byte) error {
	return unmarshal("granularity", granularities, b, (*int)(g))
}

// WeightScheme says how a weight [N, K] is quantized.
type WeightScheme struct {
	Bits        int         `toml:"bits" json:"bits"`                                 // 4 or 8
	Symmetric   bool        `toml:"symmetric" json:"symmetric"`                       // true: -8...7; false: 0...15 with an integer zero point
	Granularity Granularity `toml:"granularity" json:"granularity"`                   //
	GroupSize   int64       `toml:"group_size,omitempty" json:"group_size,omitempty"` // 32, 64 or 128; used with per_group only
}

// DefaultWeightScheme is INT4, symmetric, groups of 32.
func DefaultWeightScheme() WeightScheme {
	return WeightScheme{Bits: 4, Symmetric: true, Granularity: PerGroup, GroupSize: 32}
}

// Validate reports every field out of its range. It checks what a user may ask for; [WeightScheme.Fit] may answer with
// another group size.
func (s WeightScheme) Validate() error {
	var errs []error
	if s.Bits != 4 && s.Bits != 8 {
		errs = append(errs, fmt.Errorf("quant: weight bits %d, want 4 or 8", s.Bits))
	}
	switch {
	case s.Granularity < PerTensor || s.Granularity > PerGroup:
		errs = append(errs, fmt.Errorf("quant: weight granularity %v, want one of %v", s.Granularity, granularities))
	case s.Granularity == PerGroup && s.GroupSize != 32 && s.GroupSize != 64 && s.GroupSize != 128:
		errs = append(errs, fmt.Errorf("quant: group_size %d, want 32, 64 or 128", s.GroupSize))
	}
	return errors.Join(errs...)
}

// Normal is s without a group size that its granularity does not use: a configuration that overlays another keeps the
// other's. Equal schemes are equal values in this form.
func (s WeightScheme) Normal() WeightScheme {
	if s.Granularity != PerGroup {
		s.GroupSize = 0
	}
	return s
}

// QMin is the smallest code: -8 or -128 (symmetric), else 0.
func (s WeightScheme) QMin() int32 {
	if s.Symmetric {
		return -1 << (s.Bits - 1)
	}
	return 0
}

// QMax is the largest code: 7 or 127 (symmetric), 15 or 255.
func (s WeightScheme) QMax() int32 { return s.QMin() + 1<<s.Bits - 1 }

// String is a short name such as "int4 sym g32", "int8 sym channel", "int4 asym tensor".
func (s WeightScheme) String() string {
	sym := "sym"
	if !s.Symmetric {
		sym = "asym"
	}
	grain := "tensor"
	switch s.Granularity {
	case PerChannel:
		grain = "channel"
	case PerGroup:
		grain = fmt.Sprintf("g%d", s.GroupSize)
	}
	return fmt.Sprintf("int%d %s %s", s.Bits, sym, grain)
}

// ParamShape is the shape (rows, groups) of the scales of a weight [n, k]. A group size that does not divide k is an
// error; [WeightScheme.Fit] finds one that does.
func (s WeightScheme) ParamShape(n, k int64) (rows, groups int64, err error) {
	switch s.Granularity {
	case PerTensor:
		return 1, 1, nil
	case PerChannel:
		return n, 1, nil
	}
	if s.GroupSize < 1 || k%s.GroupSize != 0 {
		return 0, 0, fmt.Errorf("quant: group_size %d does not divide in_features %d", s.GroupSize, k)
	}
	return n, k / s.GroupSize, nil
}

// ActivationMode says when and over what an activation's scale is taken.
type ActivationMode int

// The modes; the last dimension of an activation is the feature dimension.
const (
	ActivationNone ActivationMode = iota // activations stay float (W4A16)
	DynamicToken                         // absmax of each token, at run time
	StaticTensor                         // one calibrated, learnable scale per layer
)

var activationModes = []string{"none", "dynamic_token", "static_tensor"}

func (m ActivationMode) String() string { return name(activationModes, int(m)) }

// MarshalText writes none, dynamic_token or static_tensor.
func (m ActivationMode) MarshalText() ([]byte, error) {
	return marshal("activation mode", activationModes, int(m))
}

// UnmarshalText reads what MarshalText writes; another word is an error that lists the choices.
func (m *ActivationMode) UnmarshalText(b []byte) error {
	return unmarshal("activation mode", activationModes, b, (*int)(m))
}

// ActivationScheme says how a layer's input is quantized: always symmetric, -8...7 or -128...127.
type ActivationScheme struct {
	Bits int            `toml:"bits,omitempty" json:"bits,omitempty"` // 4 or 8; not used with mode none
	Mode ActivationMode `toml:"mode" json:"mode"`
}

// Validate reports every field out of its range.
func (a ActivationScheme) Validate() error {
	switch {
	case a.Mode < ActivationNone || a.Mode > StaticTensor:
		return fmt.Errorf("quant: activation mode %v, want one of %v", a.Mode, activationModes)
	case a.Mode != ActivationNone && a.Bits != 4 && a.Bits != 8:
		return fmt.Errorf("quant: activation bits %d with mode %v, want 4 or 8", a.Bits, a.Mode)
	}
	return nil
}

// CheckScale is Validate, and tells whether a scale that mode static_tensor uses lies on the grid.
func (a ActivationScheme) CheckScale(scale float32) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if a.Mode == StaticTensor && !OnGrid(scale) {
		return fmt.Errorf("quant: activation scale %v is not on the scale grid", scale)
	}
	return nil
}

// Normal is a without bits that mode none does not use; see [WeightScheme.Normal].
func (a ActivationScheme) Normal() ActivationScheme {
	if a.Mode == ActivationNone {
		a.Bits = 0
	}
	return a
}

// QMax is 7 or 127; the smallest code is -QMax-1.
func (a ActivationScheme) QMax() int32 { return 1<<(a.Bits-1) - 1 }

// String is a short name: "a16", "a8 dynamic token", "a4 static tensor".
func (a ActivationScheme) String() string {
	switch a.Mode {
	case DynamicToken:
		return fmt.Sprintf("a%d dynamic token", a.Bits)
	case StaticTensor:
		return fmt.Sprintf("a%d static tensor", a.Bits)
	}
	return "a16"
}
