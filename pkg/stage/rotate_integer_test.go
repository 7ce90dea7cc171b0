package stage_test

import (
	"reflect"
	"testing"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/packed"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// A rotated student with quantized activations says natively what the library's integer layers say: inputs are rotated
// first, then quantized; W4A4 in groups of either package, W8A8, and layers of all kinds in one model.
func TestRotatedIntegers(t *testing.T) {
	source, err := demo.TeacherDir()
	must(t, err)
	w8 := quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}
	for name, tt := range map[string]struct {
		change func(*qat.Config)
		int4   bool
		int8   bool
	}{
		"w4a4":     {func(c *qat.Config) { c.Activation.Bits = 4 }, true, false},
		"w4a4 g64": {func(c *qat.Config) { c.Activation.Bits, c.Weight.GroupSize = 4, 64 }, false, true},
		"w8a8":     {func(c *qat.Config) { c.Weight, c.Init = w8, quant.AbsMax }, false, true},
		"mixed": {func(c *qat.Config) {
			c.Overrides = []qat.Override{{Include: []string{"**.v_proj", "**.down_proj"}, Weight: &w8}}
			c.Exclude = append(c.Exclude, "**.o_proj")
		}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := talker.Load(source, talker.Options{DType: gotch.Float})
			must(t, err)
			defer m.Close()
			must(t, calib.Rotate(m, nn.Slots(m), 1))
			cfg := qat.DefaultConfig()
			cfg.IntegerForward, cfg.Exclude = true, []string{"talker.text_projection.**"}
			tt.change(&cfg)
			_, err = qat.Prepare(m, cfg)
			must(t, err)
			codes, hidden := greedy(t, m, talker.StepperOptions{Library: true})
			must(t, qat.Convert(m))
			_, left, err := packed.Swap(m, packed.SwapOptions{})
			must(t, err)
			defer packed.Free(m)
			if len(left) > 0 {
				t.Errorf("%v are left without kernels", left)
			}
			st, err := m.Steppers(talker.StepperOptions{})
			must(t, err)
			st.Close()
			if (st.Formats["int4"] > 0) != tt.int4 || (st.Formats["int8"] > 0) != tt.int8 {
				t.Errorf("formats %v (%v), want int4 %v and int8 %v", st.Formats, st.Why, tt.int4, tt.int8)
			}
			for _, threads := range []int{1, 2} {
				have, states := greedy(t, m, talker.StepperOptions{Threads: threads})
				if d := off(hidden, states); d > 0.02 || !reflect.DeepEqual(codes, have) {
					t.Errorf("%d threads: states are off by %.2g of the largest, codes equal %v", threads, d, reflect.DeepEqual(codes, have))
				} else {
					t.Logf("%d threads: off by %.2g", threads, d)
				}
			}
		})
	}
}
