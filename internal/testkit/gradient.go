package testkit

import (
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Leaf is a tensor that a function depends on, at the place where the function reads it.
type Leaf struct {
	Name string
	T    **ts.Tensor
}

// Gradients holds the gradients of loss, a one-element tensor, against central differences (f(x+h) - f(x-h)) / 2h with
// error O(h²), for every element of every leaf: |difference| ≤ tol·(1 + |want|). While it runs, the leaves are float64
// copies, so that h may be small; a function that rounds to float32 inside needs h near 1e-2.
func Gradients(t testing.TB, h, tol float64, loss func(s *tensor.Scope) *ts.Tensor, leaves ...Leaf) {
	t.Helper()
	err := tensor.Run(func(s *tensor.Scope) error {
		values := make([][]float64, len(leaves))
		for i, l := range leaves {
			original := *l.T
			defer func() { *l.T = original }()
			v, err := doubles(s, original)
			if err != nil {
				return err
			}
			values[i] = v
			if *l.T, err = double(s, v, s.Shape(original)); err != nil {
				return err
			}
		}
		analytic, err := gradients(s, loss, leaves)
		if err != nil {
			return err
		}
		for i, l := range leaves {
			numeric, err := differences(s, h, loss, l, values[i])
			if err != nil {
				return err
			}
			Close(t, "gradient of "+l.Name, analytic[i], numeric, tol, tol)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// gradients by automatic differentiation.
func gradients(s *tensor.Scope, loss func(s *tensor.Scope) *ts.Tensor, leaves []Leaf) ([][]float64, error) {
	for _, l := range leaves {
		if err := tensor.RequireGrad(*l.T, true); err != nil {
			return nil, err
		}
	}
	if err := tensor.Backward(loss(s)); err != nil {
		return nil, err
	}
	out := make([][]float64, len(leaves))
	for i, l := range leaves {
		g := s.Gradient(*l.T)
		if g == nil {
			g = s.ZerosLike(*l.T, gotch.Double)
		}
		var err error
		if out[i], err = doubles(s, g); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// differences of loss along every element of l, whose values are v.
func differences(s *tensor.Scope, h float64, loss func(s *tensor.Scope) *ts.Tensor, l Leaf, v []float64) ([]float64, error) {
	original := *l.T
	defer func() { *l.T = original }()
	at := func(i int, x float64) (y float64, err error) {
		was := v[i]
		v[i] = x
		defer func() { v[i] = was }()
		err = tensor.Run(func(in *tensor.Scope) error {
			if *l.T, err = double(in, v, in.Shape(original)); err != nil {
				return err
			}
			y, err = tensor.Scalar(loss(in))
			return err
		})
		return y, err
	}
	out := make([]float64, len(v))
	for i, x := range v {
		up, err := at(i, x+h)
		if err != nil {
			return nil, err
		}
		down, err := at(i, x-h)
		if err != nil {
			return nil, err
		}
		out[i] = (up - down) / (2 * h)
	}
	return out, nil
}
