package qat_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// Masters quantize to the codes that they were given, whatever these are, and those that had them already stay.
func TestSetCodes(t *testing.T) {
	for name, edit := range map[string]func(*qat.Config){
		"symmetric":  func(c *qat.Config) {},
		"asymmetric": func(c *qat.Config) { c.Weight.Symmetric = false },
		"bfloat16":   func(c *qat.Config) { c.Masters = "bfloat16" },
		"dual":       func(c *qat.Config) { c.DualLSQ = true },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := qat.DefaultConfig()
			edit(&cfg)
			m := newToy()
			if err := nn.Init(m, 3, 0.05); err != nil {
				t.Fatal(err)
			}
			defer nn.Close(m)
			if _, err := qat.Prepare(m, cfg); err != nil {
				t.Fatal(err)
			}
			path := m.mlp.Down.Path
			l := m.mlp.Down.P.(*qat.Linear)
			before := must(tensor.Floats(l.W.T))(t)
			p := must(l.QParams())(t)
			q := must(quant.Quantize(before, l.Plan().Out, l.Plan().In, p, l.Plan().Weight))(t)
			r := rand.New(rand.NewPCG(1, 1))
			codes, least := make([]byte, len(q)), l.Plan().Weight.QMin()
			for i := range q {
				codes[i] = byte(int32(q[i]) - least)
				if i%2 == 0 {
					codes[i] = byte(r.IntN(16))
				}
			}
			if err := qat.SetCodes(m, map[string][]byte{path: codes}); err != nil {
				t.Fatal(err)
			}
			after := must(tensor.Floats(l.W.T))(t)
			width := len(after) / len(p.Scale)
			for i := range after {
				if codes[i] == byte(int32(q[i])-least) && after[i] != before[i] {
					t.Fatalf("master %d had its code %d and went from %v to %v", i, codes[i], before[i], after[i])
				}
				if moved := math.Abs(float64(after[i]-before[i])) / float64(p.Scale[i/width]); moved > 16 {
					t.Fatalf("master %d moved by %v steps", i, moved)
				}
			}
			packed := must(l.Pack())(t)
			words := must(tensor.Ints(packed.Words.T))(t)
			for i, u := range codes {
				at := i / inner * ((inner + 7) / 8)
				if got := byte(uint32(words[at+i%inner/8]) >> (4 * (i % inner % 8)) & 15); got != u {
					t.Fatalf("packed code %d is %d, want %d", i, got, u)
				}
			}
			if grad, err := l.W.T.RequiresGrad(); err != nil || !grad {
				t.Errorf("the master does not train any more (%v)", err)
			}
			for want, codes := range map[string]map[string][]byte{
				"which is not a prepared projection": {"model.nothing": codes},
				"3 codes for " + path:                {path: codes[:3]},
				"a code 16 for " + path:              {path: append([]byte{16}, codes[1:]...)},
			} {
				if err := qat.SetCodes(m, codes); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
			}
		})
	}
}
