package export

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/gguf"
	"github.com/qakd/qakd/pkg/quant"
)

// golden are vectors that the formats' own libraries made or accepted: codes of a matrix [16, 64] in groups of 32, and
// what each layout makes of them.
type golden struct {
	N, K, Group int64
	Q           [][]int16  `json:"q_signed"`
	Scale       [][]uint16 `json:"scale_fp16_bits"`
	Zero        [][]int32  `json:"zp_signed"`
	CT          [][]int32  `json:"ct_weight_packed"`
	CTZero      [][]int32  `json:"ct_weight_zero_point"`
	GPTQ        [][]int32  `json:"gptq_qweight"`
	Zero2       [][]int32  `json:"gptq_v2_qzeros"`
	Zero1       [][]int32  `json:"gptq_v1_qzeros"`
	Sym2        string     `json:"gptq_v2_sym_qzero_word"`
	Sym1        string     `json:"gptq_v1_sym_qzero_word"`
	AWQ         [][]int32  `json:"awq_qweight"`
	AWQZero     [][]int32  `json:"awq_qzeros"`
	Torchao     [][]uint8  `json:"torchao_plain_qdata_assumed_low_even"`
}

func readGolden(t *testing.T) *golden {
	t.Helper()
	g := &golden{}
	if err := json.Unmarshal(must(os.ReadFile("../quant/testdata/int4_packing_golden.json"))(t), g); err != nil {
		t.Fatal(err)
	}
	return g
}

// matrix of the vectors; symmetric has the codes, asymmetric the zero points too.
func (g *golden) matrix(t *testing.T, symmetric bool) *matrix {
	t.Helper()
	m := &matrix{path: "w", n: g.N, k: g.K, scheme: quant.WeightScheme{Bits: 4, Symmetric: symmetric, Granularity: quant.PerGroup, GroupSize: g.Group}}
	signed := m.scheme
	signed.Symmetric = true
	packed := must(quant.PackCodes(slices.Concat(g.Q...), g.N, g.K, signed))(t)
	m.words = func() ([]int32, error) { return packed, nil }
	p := quant.QParams{Rows: g.N, Groups: g.K / g.Group}
	for _, row := range g.Scale {
		for _, s := range row {
			p.Scale = append(p.Scale, gguf.Float(s))
		}
	}
	if !symmetric {
		for _, z := range slices.Concat(g.Zero...) {
			p.ZeroPoint = append(p.ZeroPoint, z+8)
		}
	}
	m.params = func() (quant.QParams, error) { return p, nil }
	return m
}

func wantWords(t *testing.T, list []ckpt.Tensor, name string, want [][]int32) {
	t.Helper()
	i := slices.IndexFunc(list, func(x ckpt.Tensor) bool { return x.Name == name })
	if i < 0 {
		t.Fatalf("no tensor %q", name)
	}
	if rows := []int64{int64(len(want)), int64(len(want[0]))}; !slices.Equal(list[i].Shape, rows) || list[i].DType != "I32" {
		t.Errorf("%s is %s %v, want I32 %v", name, list[i].DType, list[i].Shape, rows)
	}
	if got := int32s(must(content(&list[i]))(t)); !slices.Equal(got, slices.Concat(want...)) {
		t.Errorf("%s is %v, want %v", name, got, want)
	}
}

func TestGoldenLayouts(t *testing.T) {
	g := readGolden(t)
	m := g.matrix(t, false)
	ct := packedTensors(m, "F16")
	wantWords(t, ct, "w.weight_packed", g.CT)
	wantWords(t, ct, "w.weight_zero_point", g.CTZero)
	wantWords(t, gptqTensors(m, 0), "w.qweight", g.GPTQ)
	wantWords(t, gptqTensors(m, 0), "w.qzeros", g.Zero2)
	wantWords(t, awqTensors(m), "w.qweight", g.AWQ)
	wantWords(t, awqTensors(m), "w.qzeros", g.AWQZero)
	sym := g.matrix(t, true)
	for less, word := range map[int32]string{0: g.Sym2, 1: g.Sym1} {
		for _, x := range gptqTensors(sym, less) {
			if x.Name != "w.qzeros" {
				continue
			}
			for _, w := range int32s(must(content(&x))(t)) {
				if got := fmt.Sprintf("%#x", uint32(w)); got != word {
					t.Errorf("zero points of a symmetric layer, less %d: %s, want %s", less, got, word)
				}
			}
		}
	}
	// Version 1 wraps the zero points that it cannot hold, which is why Export refuses them.
	wantWords(t, gptqTensors(m, 1), "w.qzeros", g.Zero1)
	if got := gptq(1).refuse(m, must(m.params())(t)); got == "" {
		t.Error("version 1 takes a zero point of 0")
	}
	if got := gptq(2).refuse(m, must(m.params())(t)); got != "" {
		t.Errorf("version 2: %s", got)
	}
}

func TestGoldenTorchao(t *testing.T) {
	g := readGolden(t)
	list := must(torchaoTensors(g.matrix(t, true)))(t)
	if got := must(content(&list[0]))(t); list[0].DType != "I8" || !slices.Equal(got, slices.Concat(g.Torchao...)) {
		t.Errorf("%s %s: %v, want %v", list[0].Name, list[0].DType, got, g.Torchao)
	}
}
