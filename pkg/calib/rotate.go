package calib

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// RotationKind names what turns activations before anything is quantized.
type RotationKind string

// The rotations.
const (
	RotateNone     RotationKind = "none"
	RotateHadamard RotationKind = "hadamard" // QuaRot, SpinQuant without its training
)

// UnmarshalText accepts the words above; another is an error that lists them.
func (k *RotationKind) UnmarshalText(b []byte) error { return choose("rotation", k, b, rotationKinds) }

var rotationKinds = []RotationKind{RotateNone, RotateHadamard}

// Turn says how a model is turned before statistics are collected; "" for not at all.
func (c Config) Turn() string {
	if c.Rotation != RotateHadamard {
		return ""
	}
	return fmt.Sprintf("%s, seed %d", c.Rotation, c.RotationSeed)
}

// Rotate turns the activations of a float model by Hadamard matrices, which spread outliers over all channels, and leaves
// its function as it is (QuaRot, Ashkboos et al. 2024, §4; SpinQuant, Liu et al. 2024, §3). Of each decoder
//
//	gains   of the norms before projections go into what reads them, and become 1
//	R1      the residual stream: merged into all projections that read and write it; applied to the rows that enter the
//	        decoder, and back before its final norm ([nn.Decoder].Rotation), so that nothing outside knows
//	R2      each value head: merged into v_proj and o_proj
//	R4      what down_proj reads: applied to its input, and merged into its weight
//
// and of the layers in quantized that are outside of decoders (heads, adapter, text projection), as of down_proj, the input
// is turned as it comes ([nn.Slot].Transform). R1 and R2 have random signs of the seed. What keys and queries are turned by
// behind their positions (R3) concerns quantized caches only, and no weight or input of a projection: it is left out.
//
// Blocks are the largest that divide a width ([nn.HadamardBlock]). It is an error when a projection of a decoder is not
// float, or reads something turned already; then some layers may have been changed.
func Rotate(m nn.Module, quantized []*nn.Slot, seed int64) error {
	inside := map[*nn.Slot]bool{}
	for _, d := range nn.Decoders(m) {
		for _, s := range nn.Slots(d) {
			inside[s] = true
		}
		if err := rotateDecoder(d, seed); err != nil {
			return fmt.Errorf("calib: rotate %s: %w", d.Path, err)
		}
	}
	if len(inside) == 0 {
		return errors.New("calib: rotate: the model has no decoder")
	}
	for _, s := range quantized {
		if inside[s] {
			continue
		}
		if err := rotateInput(s); err != nil {
			return fmt.Errorf("calib: rotate: %w", err)
		}
	}
	return nil
}

// step changes a matrix [rows, cols] in double precision.
type step func(c *nn.Context, w *ts.Tensor) *ts.Tensor

// reads is the step of what reads rotated rows: W·R. R is symmetric, so that the rows of W are rotated.
func reads(r nn.Hadamard) step { return r.Apply }

// writes is the step of what writes rotated rows: R·W.
func writes(r nn.Hadamard) step {
	return func(c *nn.Context, w *ts.Tensor) *ts.Tensor {
		return c.Transpose(r.Apply(c, c.Transpose(w, 0, 1)), 0, 1)
	}
}

// gained is the step of what reads rows that a gain has multiplied until now.
func gained(gain *nn.Param) step {
	return func(c *nn.Context, w *ts.Tensor) *ts.Tensor { return c.Mul(w, c.To(gain.T, gotch.Double)) }
}

func rotateDecoder(d *nn.Decoder, seed int64) error {
	if d.Rotation.Block != 0 {
		return errors.New("its residual stream is turned already")
	}
	r1 := nn.Hadamard{Block: nn.HadamardBlock(d.Norm.W.Shape[0]), Seed: seed}
	for _, b := range d.Blocks {
		a, mlp := b.Attn, b.MLP
		r2 := nn.Hadamard{Block: nn.HadamardBlock(a.QNorm.W.Shape[0]), Seed: seed}
		for _, w := range []*nn.Slot{a.QKV[2], a.O, mlp.Down} {
			if l, ok := w.P.(*nn.Linear); ok && l.B != nil {
				return fmt.Errorf("%s has a bias, want none where outputs are turned", w.Path)
			}
		}
		attn, inner := gained(b.InputNorm.W), gained(b.PostNorm.W)
		err := errors.Join(
			merge(a.QKV[0], attn, reads(r1)), merge(a.QKV[1], attn, reads(r1)), merge(a.QKV[2], attn, reads(r1), writes(r2)),
			merge(a.O, reads(r2), writes(r1)),
			merge(mlp.GateUp[0], inner, reads(r1)), merge(mlp.GateUp[1], inner, reads(r1)),
			rotateInput(mlp.Down, writes(r1)),
			become1(b.InputNorm.W), become1(b.PostNorm.W))
		if err != nil {
			return err
		}
	}
	d.Rotation = r1
	return nil
}

// rotateInput turns what a layer reads as it comes, beside other steps.
func rotateInput(s *nn.Slot, steps ...step) error {
	if s.Transform != nil {
		return fmt.Errorf("%s: its input has a %T already", s.Path, s.Transform)
	}
	r := nn.Hadamard{Block: nn.HadamardBlock(s.In)}
	if err := merge(s, append(steps, reads(r))...); err != nil {
		return err
	}
	s.Transform = r
	return nil
}

// merge takes a float weight through steps; it is rounded to its own dtype once.
func merge(s *nn.Slot, steps ...step) error {
	l, ok := s.P.(*nn.Linear)
	if !ok || l.W.T == nil {
		return fmt.Errorf("%s holds a %T, want a loaded float layer", s.Path, s.P)
	}
	return replace(l.W, func(c *nn.Context) *ts.Tensor {
		w := c.To(l.W.T, gotch.Double)
		for _, f := range steps {
			w = f(c, w)
		}
		return w
	})
}

// become1 makes a gain that weights have taken one of ones.
func become1(gain *nn.Param) error {
	return replace(gain, func(c *nn.Context) *ts.Tensor { return c.Ones(gotch.Double, gain.Shape...) })
}

// replace gives a parameter another value, in its own dtype and on its device.
func replace(p *nn.Param, value func(c *nn.Context) *ts.Tensor) error {
	return nn.Run(func(c *nn.Context) error {
		grad, err := p.T.RequiresGrad()
		if err != nil {
			return err
		}
		nn.NoGrad(func() {
			p.Set(c.Release(c.ToDevice(c.To(c.Contiguous(value(c)), p.T.DType()), c.Device(p.T))))
		})
		return tensor.RequireGrad(p.T, grad)
	})
}
