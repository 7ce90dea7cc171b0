package talker

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/native/toy"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// formed is a projection in another package's format, with the weight and bias of a float one.
type formed struct {
	*nn.Linear
	t    *testing.T
	step int
}

func (f *formed) Native(string) (*native.Matrix, error) {
	w, err := tensor.Floats(f.W.T)
	if err != nil {
		return nil, err
	}
	m, free, err := toy.Matrix(int(f.W.Shape[0]), int(f.W.Shape[1]), w, f.step)
	if err != nil {
		return nil, err
	}
	f.t.Cleanup(free)
	if f.B == nil {
		return m, nil
	}
	bias, err := tensor.Floats(f.B.T)
	if err != nil {
		return nil, err
	}
	return m, m.SetBias(bias)
}

// swapForms puts another format into some of the slots, or into all of them.
func swapForms(t *testing.T, m *Model, all bool) (swapped int) {
	for i, s := range nn.Slots(m) {
		if l, ok := s.P.(*nn.Linear); ok && (all || i%3 != 0) && !strings.Contains(s.Path, "text_projection") {
			s.P = &formed{l, t, 1 << 20 * (i % 2)}
			swapped++
		}
	}
	return swapped
}

// Projections of other formats, alone or beside float ones, decode as the library does: states of talker and code
// predictor, with an adapter and without.
func TestNativeForms(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-sharded"} {
		for _, all := range []bool{false, true} {
			t.Run(fmt.Sprint(fixture, "/", all), func(t *testing.T) {
				m := loadFixture(t, fixture)
				n := swapForms(t, m, all)
				both(t, m, StepperOptions{}, 1e-4, func(c *nn.Context, st *Steppers) []*ts.Tensor {
					if st.Kernels != "" && st.Formats["toy"]+st.Formats["plain toy"] != n {
						t.Errorf("formats %v, want %d matrices", st.Formats, n)
					}
					return append(journey(c, m, st.Talker, true), journey(c, m, st.Predictor, false)...)
				})
			})
		}
	}
}

// Scales and rotations of inputs are the library's.
func TestNativeTransforms(t *testing.T) {
	m := loadFixture(t, "tiny-f32")
	swapForms(t, m, false)
	run(t, func(c *nn.Context) error {
		scales := map[int64]*nn.ChannelScale{}
		for i, s := range nn.Slots(m) {
			if i%2 == 0 {
				s.Transform = nn.Hadamard{Block: 4}
				continue
			}
			if scales[s.In] == nil {
				scales[s.In] = nn.NewChannelScale(s.Path, s.In)
				scales[s.In].S.Set(c.Release(c.AddScalar(c.Rand(s.In), 0.5)))
			}
			s.Transform = scales[s.In]
		}
		return nil
	})
	both(t, m, StepperOptions{}, 1e-4, func(c *nn.Context, st *Steppers) []*ts.Tensor { return journey(c, m, st.Talker, false) })
	for _, s := range nn.Slots(m) {
		s.Transform = nn.Hadamard{Block: 3}
	}
	if _, err := m.Steppers(StepperOptions{}); err == nil || !strings.Contains(err.Error(), "a Hadamard block of 3") {
		t.Errorf("error %v, want the block", err)
	}
}

// Kernels rotate as the library does.
func TestNativeHadamard(t *testing.T) {
	for _, h := range []nn.Hadamard{{Block: 1, Seed: 1}, {Block: 32}, {Block: 12}, {Block: 96, Seed: 2}, {Block: 64, Seed: 3}} {
		kernel, err := native.NewTransform(nil, rotated(h))
		if err != nil {
			t.Fatal(err)
		}
		defer kernel.Close()
		run(t, func(c *nn.Context) error {
			x := c.Randn(1, 3*h.Block)
			have, err := tensor.Floats(x)
			if err != nil {
				return err
			}
			if err := kernel.Apply(have); err != nil {
				return err
			}
			want, err := tensor.Floats(h.Apply(c, x))
			for i := range want {
				if math.Abs(float64(have[i]-want[i])) > 1e-5 {
					t.Fatalf("%v: number %d is %v, want %v", h, i, have[i], want[i])
				}
			}
			return err
		})
	}
}

// A projection that is swapped between two prompts is taken by the next; between a prompt and a step it is an error.
func TestNativeFormSwapped(t *testing.T) {
	m := loadFixture(t, "tiny-f32")
	st := nativeSteppers(t, m, StepperOptions{})
	H := m.Config.Talker.Hidden
	step := func() error {
		return nn.Run(func(c *nn.Context) error { st.Talker.Step(c, c.Ones(m.DType, 1, H)); return nil })
	}
	prefill := func() error {
		return nn.Run(func(c *nn.Context) error { st.Talker.Prefill(c, c.Ones(m.DType, 1, 3, H), nil); return nil })
	}
	if err := prefill(); err != nil {
		t.Fatal(err)
	}
	slot := m.Decoder.Blocks[0].MLP.Down
	l := slot.P.(*nn.Linear)
	slot.P = &formed{l, t, 0}
	for range 2 {
		if err := prefill(); err != nil {
			t.Fatal(err)
		}
		if err := step(); err != nil {
			t.Fatal(err)
		}
		slot.P = &formed{l, t, 0}
		if err := step(); err == nil || !strings.Contains(err.Error(), slot.Path+" has been replaced") {
			t.Errorf("error %v, want the slot", err)
		}
	}
}

// Keys and values in fewer bits change the states of a tiny talker by little; the default is the model's own.
func TestNativeCacheTypes(t *testing.T) {
	m := loadFixture(t, "tiny-f32")
	for cache, tol := range map[CacheType]float64{CacheDefault: 1e-5, CacheF32: 1e-5, CacheBF16: 0.02, CacheINT8: 0.04} {
		both(t, m, StepperOptions{Cache: cache}, tol, func(c *nn.Context, st *Steppers) []*ts.Tensor { return journey(c, m, st.Talker, true) })
	}
	if _, err := m.Steppers(StepperOptions{Cache: "int4"}); err == nil || !strings.Contains(err.Error(), `cache type "int4", want f32, bf16 or int8`) {
		t.Errorf("error %v, want the types", err)
	}
}
