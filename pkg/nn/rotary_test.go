package nn

import (
	"math"
	"strings"
	"testing"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// naiveRotate turns one head's row x [D] by the angle of position(i) at frequency i: the pairs are (i, i+D/2).
func naiveRotate(x []float32, theta float64, position func(i int) float64) []float64 {
	D := len(x)
	out := make([]float64, D)
	for i := range D / 2 {
		a := position(i) * math.Pow(theta, -2*float64(i)/float64(D))
		p, q := float64(x[i]), float64(x[i+D/2])
		out[i], out[i+D/2] = p*math.Cos(a)-q*math.Sin(a), q*math.Cos(a)+p*math.Sin(a)
	}
	return out
}

func TestRotary(t *testing.T) {
	const B, heads, T, D, theta = 2, 3, 4, 8, 100.0
	streams := [3][]int64{{0, 1, 2, 3, 5, 6, 7, 8}, {1, 4, 9, 2, 0, 3, 8, 1}, {7, 5, 3, 1, 6, 4, 2, 0}}
	// With sections 2, 1, 1 of 4 frequencies. Interleaved: frequency 1 is stream 1's (1 < 3·1), 2 is stream 2's, 0 and 3
	// are stream 0's. In runs: 0, 1 | 2 | 3.
	tests := []struct {
		name   string
		rotary Rotary
		stream [D / 2]int
	}{
		{"one stream", Rotary{D: D, Theta: theta}, [4]int{0, 0, 0, 0}},
		{"interleaved", Rotary{D: D, Theta: theta, Sections: []int64{2, 1, 1}, Interleaved: true}, [4]int{0, 1, 2, 0}},
		{"in runs", Rotary{D: D, Theta: theta, Sections: []int64{2, 1, 1}}, [4]int{0, 0, 1, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(c *Context) {
				x := c.Randn(B, heads, T, D)
				var pos [3]*ts.Tensor
				for i, s := range streams {
					pos[i] = c.FromInts(s, B, T)
				}
				a := tt.rotary.Angles(c, pos[0], gotch.Float)
				if tt.rotary.Sections != nil {
					a = tt.rotary.AnglesOf(c, pos, gotch.Float)
				}
				got, in := floats(t, a.Rotate(c, x)), floats(t, x)
				for row := 0; row < B*heads*T; row++ {
					at := row/(heads*T)*T + row%T // b·T + t
					want := naiveRotate(in[row*D:(row+1)*D], theta, func(i int) float64 { return float64(streams[tt.stream[i]][at]) })
					wantClose(t, tt.name, got[row*D:(row+1)*D], want, 1e-5)
				}
			})
		})
	}
}

func TestRotaryValidate(t *testing.T) {
	for want, r := range map[string]Rotary{
		"head_dim 7, want an even number":                      {D: 7, Theta: 1},
		"mrope_section [2 2], want three numbers with sum 4":   {D: 8, Theta: 1, Sections: []int64{2, 2}},
		"mrope_section [2 2 2], want three numbers with sum 4": {D: 8, Theta: 1, Sections: []int64{2, 2, 2}},
	} {
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
