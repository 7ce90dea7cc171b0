package distill_test

import (
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
)

// through runs o forward and backward over us, as the training loop does, and returns the gradients of scale times the loss.
func through(t *testing.T, o *distill.Objective, student *talker.Model, us []data.Utterance, recompute bool, scale float64) map[string][]float32 {
	t.Helper()
	for _, p := range nn.Params(student) {
		if err := tensor.RequireGrad(p.T, !p.Frozen); err != nil {
			t.Fatal(err)
		}
	}
	grads := map[string][]float32{}
	err := nn.Run(func(c *nn.Context) error {
		loss, err := train.Loss(c, o, us, recompute)
		if err != nil {
			return err
		}
		if err := tensor.Backward(c.MulScalar(loss, scale)); err != nil {
			return err
		}
		for _, p := range nn.Params(student) {
			if g := c.Gradient(p.T); g != nil {
				grads[p.Name] = floats(t, g)
			}
			if err := tensor.ZeroGrad(p.T); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return grads
}

// TestRecomputationOfAQuantizedStudent: gradient checkpointing leaves every gradient as it is, to the bit: masters,
// learned scales and zero points, of talker and code predictor.
func TestRecomputationOfAQuantizedStudent(t *testing.T) {
	lsq := qat.DefaultConfig()
	lsq.LSQGradient = true
	asymmetric := lsq
	asymmetric.Weight.Symmetric = false
	for name, cfg := range map[string]qat.Config{"w4a8": qat.DefaultConfig(), "lsq": lsq, "asymmetric": asymmetric} {
		t.Run(name, func(t *testing.T) {
			m := model(t, 2)
			if _, err := qat.Prepare(m, cfg); err != nil {
				t.Fatal(err)
			}
			o, err := distill.New(model(t, 1), m, everything())
			if err != nil {
				t.Fatal(err)
			}
			us := utterances(5)
			want, got := through(t, o, m, us, false, 1), through(t, o, m, us, true, 1)
			if len(want) == 0 || len(got) != len(want) {
				t.Fatalf("%d gradients, want %d", len(got), len(want))
			}
			scales := 0
			for _, p := range nn.Params(m) {
				if !slices.Equal(got[p.Name], want[p.Name]) {
					t.Errorf("%s differs", p.Name)
				}
				if p.Scale && slices.ContainsFunc(want[p.Name], func(v float32) bool { return v != 0 }) {
					scales++
				}
			}
			if scales == 0 {
				t.Error("no scale has a gradient")
			}
		})
	}
}
