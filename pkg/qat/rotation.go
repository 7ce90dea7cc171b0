package qat

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
)

// Rotation is a Hadamard rotation that a model computes as it runs, beside those that are merged into its weights: of the
// input of the projection at a path, or of the residual stream of the decoder at a path (pkg/calib's Rotate).
type Rotation struct {
	Path  string `json:"path"`
	Block int64  `json:"block"`          // of nn.Hadamard: 2^k or 12·2^k
	Seed  int64  `json:"seed,omitempty"` // of its signs; 0 for none
}

// transforms is the transform_config of a quantization_config. The format's own schemes know neither residual streams nor
// our matrices: with another schema, other loaders refuse the folder and compute nothing wrong.
type transforms struct {
	Format    string     `json:"format"`
	Rotations []Rotation `json:"rotations"`
}

const rotationFormat = "qakd-hadamard-1"

// newTransforms is the transform_config of rotations, nil without any.
func newTransforms(rotations []Rotation) *transforms {
	if len(rotations) == 0 {
		return nil
	}
	return &transforms{rotationFormat, rotations}
}

func (t *transforms) check() error {
	if t != nil && (t.Format != rotationFormat || len(t.Rotations) == 0) {
		return fmt.Errorf("transform_config of format %q with %d rotations, want %q with some, or no such key", t.Format, len(t.Rotations), rotationFormat)
	}
	return nil
}

func (t *transforms) list() []Rotation {
	if t == nil {
		return nil
	}
	return t.Rotations
}

// Rotations are those that m computes as it runs, decoders first.
func Rotations(m nn.Module) (out []Rotation) {
	for _, d := range nn.Decoders(m) {
		if r := d.Rotation; r.Block != 0 {
			out = append(out, Rotation{d.Path, r.Block, r.Seed})
		}
	}
	for _, s := range nn.Slots(m) {
		if r, ok := s.Transform.(nn.Hadamard); ok {
			out = append(out, Rotation{s.Path, r.Block, r.Seed})
		}
	}
	return out
}

// rotate makes m compute rotations. On an error nothing has been changed.
func rotate(m nn.Module, rotations []Rotation) error {
	decoders, slots := map[string]*nn.Decoder{}, slotsByPath(m)
	for _, d := range nn.Decoders(m) {
		decoders[d.Path] = d
	}
	var errs []error
	var set []func()
	for _, r := range rotations {
		h := nn.Hadamard{Block: r.Block, Seed: r.Seed}
		width := int64(0)
		if d := decoders[r.Path]; d != nil {
			width = d.Norm.W.Shape[0]
			set = append(set, func() { d.Rotation = h })
		} else if s := slots[r.Path]; s != nil {
			width = s.In
			set = append(set, func() { s.Transform = h })
		} else {
			errs = append(errs, fmt.Errorf("a rotation of %q, which is no decoder or projection of the model", r.Path))
			continue
		}
		if !h.Fits(width) {
			errs = append(errs, fmt.Errorf("a rotation of %s in blocks of %d, want 2^k or 12·2^k that divides its width %d", r.Path, r.Block, width))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, f := range set {
		f()
	}
	return nil
}
