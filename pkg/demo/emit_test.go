package demo_test

import (
	"math"
	"testing"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
)

// Sampled codes must have the stated probabilities. Over all events of a codebook, sum (seen - expected)^2 / variance
// of each code's count is compared with its mean, the number of codes; counts of a martingale have those moments.
func TestFrequenciesMatchTheStatedProbabilities(t *testing.T) {
	c := demo.New()
	var seen, expected, variance [demo.Groups][demo.Codebook + 1]float64
	var p [demo.Codebook]float64
	var all [demo.Groups - 1][demo.Codebook]float64
	each(t, set(t, demo.Pretrain, 11, 1500), func(u data.Utterance) {
		s := demo.State{Text: u.Text, Speaker: demo.SpeakerIndex(u.Speaker)}
		for f := 0; f <= u.Frames(); f++ {
			end, err := c.Code0(p[:], s)
			if err != nil {
				t.Fatal(err)
			}
			add := func(g, code int, q float64) {
				expected[g][code] += q
				variance[g][code] += q * (1 - q)
			}
			add(0, demo.Codebook, end)
			total := end
			for code, q := range p {
				add(0, code, q)
				total += q
			}
			if math.Abs(total-1) > 1e-12 {
				t.Fatalf("code 0: probabilities sum to %v", total)
			}
			if f == u.Frames() {
				seen[0][demo.Codebook]++
				return
			}
			seen[0][u.Codes[f][0]]++
			c.Codes(&all, u.Codes[f], s)
			for g := 1; g < demo.Groups; g++ {
				for code, q := range all[g-1] {
					add(g, code, q)
				}
				seen[g][u.Codes[f][g]]++
			}
			s.Past = u.Codes[f]
		}
	})
	for g := range demo.Groups {
		stat, n := 0.0, 0.0
		for code := range seen[g] {
			if v := variance[g][code]; v > 0 {
				d := seen[g][code] - expected[g][code]
				stat += d * d / v
				n++
			}
		}
		if limit := n + 5*math.Sqrt(2*n); stat > limit || n < demo.Codebook {
			t.Errorf("codebook %d: statistic %.1f over %.0f codes, want at most %.1f", g, stat, n, limit)
		}
	}
}

// Code 0 walks through the text: it keeps its phone or takes the next one, and ends only after the last.
func TestCode0FollowsTheText(t *testing.T) {
	c := demo.New()
	text := demo.Text(2, 6, 1, 15)
	var p [demo.Codebook]float64
	phones := func(past []int32) (map[int]bool, float64) {
		end, err := c.Code0(p[:], demo.State{Text: text, Past: past})
		if err != nil {
			t.Fatal(err)
		}
		m := map[int]bool{}
		for code, q := range p {
			if q > 0 {
				m[code/demo.Variants] = true
			}
		}
		return m, end
	}
	frame := func(phone int32) []int32 {
		f := make([]int32, demo.Groups)
		f[0] = phone*demo.Variants + 1
		return f
	}
	tests := []struct {
		past []int32
		want []int
		ends bool
	}{
		{nil, []int{2}, false},
		{frame(2), []int{2, 6}, false},
		{frame(6), []int{6, 1}, false},
		{frame(15), []int{15}, true},
	}
	for _, tt := range tests {
		got, end := phones(tt.past)
		ok := len(got) == len(tt.want)
		for _, w := range tt.want {
			ok = ok && got[w]
		}
		if !ok || (end > 0) != tt.ends {
			t.Errorf("after %v: phones %v, end %.2f; want %v, an end %v", tt.past, got, end, tt.want, tt.ends)
		}
	}
	if _, err := c.Code0(p[:], demo.State{Text: text, Past: frame(3)}); err == nil {
		t.Error("a phone outside the text is no error")
	}
}

// No code is impossible, so a shuffled or a wrong context never costs infinitely much.
func TestHigherCodesAreAllPossible(t *testing.T) {
	c := demo.New()
	var p [demo.Groups - 1][demo.Codebook]float64
	frame := make([]int32, demo.Groups)
	for code := range int32(demo.Codebook) {
		for g := range frame {
			frame[g] = code
		}
		c.Codes(&p, frame, demo.State{Speaker: int(code) % 8, Past: frame})
		for g := range p {
			sum := 0.0
			for _, q := range p[g] {
				sum += q
				if q < 1e-18 {
					t.Fatalf("codebook %d after %d: probability %g", g+1, code, q)
				}
			}
			if math.Abs(sum-1) > 1e-12 {
				t.Fatalf("codebook %d: probabilities sum to %v", g+1, sum)
			}
		}
	}
}
