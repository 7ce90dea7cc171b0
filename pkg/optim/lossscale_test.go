package optim_test

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/sugarme/gotch"
)

func scaled(t *testing.T, factor float64, p *nn.Param) *optim.AdamW {
	cfg := optim.DefaultConfig()
	cfg.LossScale = factor
	return newAdamW(t, cfg, optim.Group{Name: "g", Params: []*nn.Param{p}, LR: 0.1})
}

// An infinity halves the scale and leaves everything else as it was; a factor of the gradient is taken out again.
func TestInfinityIsSkipped(t *testing.T) {
	p, q := param(t, "p", gotch.Float, []float32{1, 2}, 2), param(t, "q", gotch.Float, []float32{1, 2}, 2)
	o, plain := scaled(t, 1024, p), scaled(t, 0, q)
	for i, factor := range []float64{1024, 1024, 512, 512, 256} {
		if got := o.LossScale(); got != factor {
			t.Fatalf("step %d: loss scale %v, want %v", i, got, factor)
		}
		if i == 1 || i == 3 {
			before := values(t, p)
			setGrad(t, p, []float32{1, float32(math.Inf(1 - i))})
			_, err := o.Step(1)
			var skipped *optim.SkippedError
			if !errors.As(err, &skipped) || skipped.Param != "p" || skipped.Factor != factor/2 {
				t.Fatalf("step %d: error %v, want a skip that names p and the scale %v", i, err, factor/2)
			}
			if !slices.Equal(before, values(t, p)) {
				t.Fatalf("step %d: a skipped update changed the weights", i)
			}
			if norm, err := o.GradNorm(); norm != 0 || err != nil {
				t.Fatalf("step %d: gradients of norm %v are left (%v)", i, norm, err)
			}
			continue
		}
		setGrad(t, p, []float32{float32(0.3 * factor), float32(-0.7 * factor)})
		setGrad(t, q, []float32{0.3, -0.7})
		got, err := o.Step(1)
		must(t, err)
		want, err := plain.Step(1)
		must(t, err)
		if math.Abs(got-want) > 1e-7 || !slices.Equal(values(t, p), values(t, q)) {
			t.Errorf("step %d: norm %v and weights %v, without a scale %v and %v", i, got, values(t, p), want, values(t, q))
		}
	}
}

// A gradient that is not finite without help is an error, as without a scale.
func TestScaleIsNotToBlame(t *testing.T) {
	p := param(t, "p", gotch.Float, []float32{1}, 1)
	o := scaled(t, 2, p)
	for i := range 2 {
		setGrad(t, p, []float32{float32(math.NaN())})
		_, err := o.Step(1)
		var bad *optim.NonFiniteError
		if got := errors.As(err, &bad); got != (i == 1) {
			t.Errorf("NaN number %d: error %v", i+1, err)
		}
	}
}

// The scale doubles after 2000 updates in a row, counted over a resume and from the last overflow on.
func TestScaleGrows(t *testing.T) {
	p := param(t, "p", gotch.Float, []float32{1}, 1)
	o := scaled(t, 8, p)
	good := func(o *optim.AdamW, n int) {
		for range n {
			setGrad(t, p, []float32{1})
			_, err := o.Step(1)
			must(t, err)
		}
	}
	good(o, 10)
	setGrad(t, p, []float32{float32(math.Inf(1))})
	if _, err := o.Step(1); err == nil {
		t.Fatal("an infinite gradient is no error")
	}
	good(o, 1500)
	path := filepath.Join(t.TempDir(), "optim.safetensors")
	must(t, o.Save(path))
	next := scaled(t, 8, p)
	must(t, next.Load(path))
	good(next, 499)
	if got := next.LossScale(); got != 4 {
		t.Errorf("loss scale %v after 1999 updates, want 4", got)
	}
	good(next, 1)
	if got := next.LossScale(); got != 8 {
		t.Errorf("loss scale %v after 2000 updates, want 8", got)
	}
	if err := scaled(t, 0, p).Load(path); err == nil || !strings.Contains(err.Error(), `loss_scale of the state is "4"`) {
		t.Errorf("a state with a scale in an optimizer without: error %v", err)
	}
}
