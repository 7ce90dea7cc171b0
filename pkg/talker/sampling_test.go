package talker

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
)

// Every stage of the score processing equals the reference's: penalty, suppression, temperature and top-k, top-p,
// probabilities.
func TestSamplingStages(t *testing.T) {
	m := loadFixture(t, "tiny-f32")
	g := openGoldens(t, "tiny-f32", "sampling.safetensors")
	V := int(m.Config.Talker.Vocab)
	run(t, func(c *nn.Context) error {
		logits, err := tensor.Floats(g.tensor(c, "logits"))
		if err != nil {
			return err
		}
		for _, drawn := range []int{1, 3} {
			pre := fmt.Sprintf("h%d.", drawn)
			history := g.ids(c, pre+"history")
			for row := range 2 {
				scores := slices.Clone(logits[row*V : (row+1)*V])
				check := func(stage string, got []float32) {
					want, err := tensor.Floats(c.Select(g.tensor(c, pre+stage), 0, int64(row)))
					if err != nil {
						t.Fatal(err)
					}
					for i := range want {
						if d := math.Abs(float64(max(got[i], -1e30) - want[i])); d > 2e-4*(1+math.Abs(float64(want[i]))) {
							t.Fatalf("%s%s row %d: score %d is %v, want %v", pre, stage, row, i, got[i], want[i])
						}
					}
				}
				Penalize(scores, history[row*drawn:(row+1)*drawn], 1.05)
				check("after_repetition", scores)
				m.Config.Suppress(scores, drawn >= 2)
				check("after_suppress", scores)
				topK := slices.Clone(scores)
				Warp(topK, 0.9, 20, 1)
				check("after_top_k", topK)
				Warp(scores, 0.9, 20, 0.8)
				check("after_top_p", scores)
				var probs []float32
				for _, p := range Softmax(scores) {
					probs = append(probs, float32(p))
				}
				check("probs", probs)
			}
		}
		return nil
	})
}

func TestWarp(t *testing.T) {
	inf := never
	tests := []struct {
		name string
		k    int
		p    float64
		in   []float32
		want []float32
	}{
		{"all", 0, 1, []float32{1, 2, 3}, []float32{1, 2, 3}},
		{"k beyond the scores", 9, 1, []float32{1, inf, 3}, []float32{1, inf, 3}},
		{"equals of the k-th stay", 2, 1, []float32{1, 2, 2, 3}, []float32{inf, 2, 2, 3}},
		{"the best stays whatever p", 0, 1e-9, []float32{1, 2, 3}, []float32{inf, inf, 3}},
		{"one of two equals", 0, 0.5, []float32{2, 2, inf}, []float32{inf, 2, inf}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := slices.Clone(tt.in)
			if Warp(got, 1, tt.k, tt.p); !slices.Equal(got, tt.want) {
				t.Errorf("Warp(%v, k=%d, p=%g) = %v, want %v", tt.in, tt.k, tt.p, got, tt.want)
			}
		})
	}
}

// choose turns uniform points into codes with the softmax's frequencies.
func TestChoose(t *testing.T) {
	scores := []float32{0, never, float32(math.Log(3)), never}
	for u, want := range map[float64]int{0: 0, 0.2499: 0, 0.2501: 2, 0.9999999999: 2, 1: 2} {
		if got := choose(scores, u); got != want {
			t.Errorf("choose(%g) = %d, want %d", u, got, want)
		}
	}
}

func TestReadSampling(t *testing.T) {
	s, err := ReadSampling("testdata/tiny-f32/checkpoint")
	if err != nil || s != DefaultSampling() {
		t.Errorf("published settings read as %+v, %v, want the defaults", s, err)
	}
	if s, err := ReadSampling(t.TempDir()); err != nil || s != DefaultSampling() {
		t.Errorf("no file read as %+v, %v, want the defaults", s, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(`{"top_p": 0}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSampling(dir); err == nil || !strings.Contains(err.Error(), `generation_config.json: key "top_p": value 0, want`) {
		t.Errorf("error %v, want the file, the key and the value", err)
	}
}

// Whatever k, the scores that stay are those of a full sort, equals of the last one among them.
func TestWarpEqualsSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 0))
	for range 300 {
		scores := make([]float32, 1+r.IntN(60))
		for i := range scores {
			if scores[i] = float32(r.IntN(20)) - 10; r.IntN(5) == 0 && i > 0 {
				scores[i] = never
			}
		}
		k := 1 + r.IntN(len(scores))
		least := slices.Sorted(slices.Values(scores))[len(scores)-k]
		got := slices.Clone(scores)
		Warp(got, 1, k, 1)
		for i, v := range scores {
			want := v
			if v < least {
				want = never
			}
			if got[i] != want {
				t.Fatalf("k %d of %v: score %d is %v, want %v", k, scores, i, got[i], want)
			}
		}
	}
}
