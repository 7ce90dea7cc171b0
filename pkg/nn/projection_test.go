package nn

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sugarme/gotch/ts"
)

// together is a projection that serves its group in one call and counts.
type together struct {
	*Linear
	calls *int
}

func (p together) ForwardGroup(c *Context, peers []Projection, x *ts.Tensor) []*ts.Tensor {
	*p.calls++
	var ys []*ts.Tensor
	for _, q := range peers {
		other, ok := q.(together)
		if !ok {
			return nil
		}
		ys = append(ys, other.Linear.Forward(c, x))
	}
	return ys
}

// A group is served in one call if all members can, else one by one; the result and what watchers see are the same.
func TestGroup(t *testing.T) {
	g := Group{NewSlot("m.q", 4, 6, false), NewSlot("m.k", 4, 2, true)}
	for _, s := range g {
		initialized(t, s)
	}
	plain := []Projection{g[0].P, g[1].P}
	calls := 0
	group := []Projection{together{plain[0].(*Linear), &calls}, together{plain[1].(*Linear), &calls}}
	scale := NewChannelScale("m", 4)
	initialized(t, scale)
	tests := []struct {
		name       string
		p          []Projection
		transforms [2]Transform
		calls      int
	}{
		{"one by one", plain, [2]Transform{}, 0},
		{"together", group, [2]Transform{}, 1},
		{"one transform for all", group, [2]Transform{scale, scale}, 1},
		{"two transforms", group, [2]Transform{scale, nil}, 0},
		{"mixed kinds", []Projection{group[0], plain[1]}, [2]Transform{}, 1},
	}
	run(t, func(c *Context) {
		x := c.Randn(3, 4)
		want := [][]float64{wide(floats(t, plain[0].Forward(c, x))), wide(floats(t, plain[1].Forward(c, x)))}
		for _, tt := range tests {
			calls = 0
			var seen []string
			watched := *c
			watched.Input = func(path string, in *ts.Tensor) { seen = append(seen, fmt.Sprintf("%s %v", path, in == x)) }
			for i, s := range g {
				s.P, s.Transform = tt.p[i], tt.transforms[i]
			}
			for i, y := range g.Forward(&watched, x) { // the scale is 1: transforms change nothing
				wantClose(t, tt.name, floats(t, y), want[i], 1e-6)
			}
			if calls != tt.calls {
				t.Errorf("%s: %d group calls, want %d", tt.name, calls, tt.calls)
			}
			if !slices.Equal(seen, []string{"m.q true", "m.k true"}) {
				t.Errorf("%s: watchers saw %v, want each slot's untransformed input once", tt.name, seen)
			}
		}
		for i, s := range g {
			s.P, s.Transform = plain[i], nil
		}
	})
}

func TestSlotsAndParams(t *testing.T) {
	b := NewBlock("m.layers.0", AttentionConfig{Width: 4, Heads: 2, KVHeads: 1, HeadDim: 2, Eps: 1e-6}, 8)
	var names []string
	for _, p := range Params(b) {
		names = append(names, strings.TrimPrefix(p.Name, "m.layers.0."))
	}
	want := strings.Fields(`input_layernorm.weight self_attn.q_proj.weight self_attn.k_proj.weight self_attn.v_proj.weight
		self_attn.o_proj.weight self_attn.q_norm.weight self_attn.k_norm.weight post_attention_layernorm.weight
		mlp.gate_proj.weight mlp.up_proj.weight mlp.down_proj.weight`)
	if !slices.Equal(names, want) {
		t.Errorf("parameters %v, want the checkpoint's keys %v", names, want)
	}
	var paths []string
	for _, s := range Slots(b) {
		paths = append(paths, s.Path+".weight")
	}
	want = slices.DeleteFunc(want, func(name string) bool { return !strings.Contains(name, "_proj") })
	if len(paths) != len(want) {
		t.Fatalf("slots %v, want one for each of %v", paths, want)
	}
	for i, path := range paths {
		if path != "m.layers.0."+want[i] {
			t.Errorf("slot %d is %s, want m.layers.0.%s", i, path, want[i])
		}
	}
}

// A channel scale divides its input, so that a weight whose columns carry the scale gives what the plain one gave.
func TestChannelScale(t *testing.T) {
	s := NewSlot("m.q", 3, 2, false)
	initialized(t, s)
	run(t, func(c *Context) {
		x, w := c.Randn(5, 3), s.P.(*Linear).W
		want := wide(floats(t, s.Forward(c, x)))
		scale := NewChannelScale("m.q", 3)
		scale.S.Set(c.Release(c.FromFloats([]float32{0.5, 2, 8}, 3)))
		s.Transform = scale
		w.Set(c.Release(c.Mul(w.T, scale.S.T)))
		wantClose(t, "scaled", floats(t, s.Forward(c, x)), want, 1e-6)
		if n := len(Params(s)); n != 2 {
			t.Errorf("%d parameters, want the scale and the weight", n)
		}
	})
}
