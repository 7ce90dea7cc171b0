package talker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// uncached is a Stepper without memory of keys and values: it reads all rows again at each step.
type uncached struct {
	m       *Model
	decoder *nn.Decoder
	enter   func(c *nn.Context, x *ts.Tensor) *ts.Tensor
	x       *ts.Tensor // [B,S,W], released
	mask    [][]int64  // [B][S]
}

func (u *uncached) Prefill(c *nn.Context, x *ts.Tensor, mask []int64) *ts.Tensor {
	u.Close()
	size := c.Shape(x)
	if mask == nil {
		mask = filled(int(size[0]*size[1]), 1)
	}
	u.mask = nil
	for row := range slices.Chunk(mask, int(size[1])) {
		u.mask = append(u.mask, slices.Clone(row))
	}
	u.x = c.Release(c.Clone(x))
	return u.last(c)
}

func (u *uncached) Step(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	u.put(c, c.Cat(1, u.x, c.Unsqueeze(x, 1)))
	for b := range u.mask {
		u.mask[b] = append(u.mask[b], 1)
	}
	return u.last(c)
}

func (u *uncached) Keep(c *nn.Context, sequences []int64) {
	u.put(c, c.IndexSelect(u.x, 0, c.FromInts(sequences, int64(len(sequences)))))
	var kept [][]int64
	for _, b := range sequences {
		kept = append(kept, u.mask[b])
	}
	u.mask = kept
}

func (u *uncached) put(c *nn.Context, x *ts.Tensor) {
	u.Close()
	u.x = c.Release(x)
}

func (u *uncached) last(c *nn.Context) *ts.Tensor {
	B, S := len(u.mask), len(u.mask[0])
	v := u.m.ViewOf(c, slices.Concat(u.mask...), B, S)
	return c.Select(u.decoder.Forward(c, u.enter(c, u.x), v.Positions, v.Mask, nil), 1, int64(S-1))
}

func (u *uncached) Close() {
	if u.x != nil {
		u.x.Drop()
	}
	u.x = nil
}

// With caches and without, 200 frames are the same, token for token, greedily and drawn, in a batch with padding.
func TestCachedEqualsUncached(t *testing.T) {
	m := loadFixture(t, "tiny-sharded")
	for name, sample := range map[string]bool{"greedy": false, "sampled": true} {
		t.Run(name, func(t *testing.T) {
			s := DefaultSampling()
			s.DoSample, s.SubDoSample, s.MinNewTokens, s.MaxNewTokens = sample, sample, 201, 201
			prompts := sampledPrompts(t, m, 2)
			cached, err := m.Generate(context.Background(), prompts, s)
			if err != nil {
				t.Fatal(err)
			}
			talker := &uncached{m: m, decoder: m.Decoder, enter: func(_ *nn.Context, x *ts.Tensor) *ts.Tensor { return x }}
			predictor := &uncached{m: m, decoder: m.Predictor.Decoder, enter: m.Predictor.Adapt}
			defer talker.Close()
			defer predictor.Close()
			want, err := m.GenerateWith(context.Background(), talker, predictor, prompts, s)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if n := len(want[i].Codes); n != 200 {
					t.Errorf("%d frames, want 200", n)
				}
				for k, f := range want[i].Codes {
					if !slices.Equal(f, cached[i].Codes[k]) {
						t.Fatalf("utterance %d frame %d: %v with caches, %v without", i, k, cached[i].Codes[k], f)
					}
				}
			}
		})
	}
}

// A batch decodes what its prompts decode alone: all layouts of the goldens together, which end at different times, and
// prompts of random lengths.
func TestBatchEqualsAlone(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-bf16", "tiny-sharded"} {
		t.Run(fixture, func(t *testing.T) {
			m := loadFixture(t, fixture)
			g := openGoldens(t, fixture, "generate.safetensors")
			var prompts []Prompt
			run(t, func(c *nn.Context) error {
				for name, mode := range generationModes(t, fixture) {
					prompts = append(prompts, goldenPrompts(t, m, c, g, name, mode)...)
				}
				return nil
			})
			prompts = append(prompts, randomPrompts(t, m, 6)...)
			s := DefaultSampling()
			s.DoSample, s.SubDoSample, s.MaxNewTokens = false, false, 14
			together, err := m.Generate(context.Background(), prompts, s)
			if err != nil {
				t.Fatal(err)
			}
			lengths := make(map[int]bool)
			for i, p := range prompts {
				alone, err := m.Generate(context.Background(), []Prompt{p}, s)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(alone[0], together[i]) {
					t.Errorf("%s alone %v, in a batch %v", p.ID, alone[0], together[i])
				}
				lengths[len(alone[0].Codes)] = true
			}
			if len(lengths) < 2 {
				t.Errorf("all utterances have %v frames, want different ends", lengths)
			}
		})
	}
}

func randomPrompts(t *testing.T, m *Model, n int) []Prompt {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 0))
	var out []Prompt
	for i := range n {
		q := Request{ID: fmt.Sprintf("random %d", i), Streaming: i%2 == 0, Language: []string{"auto", "english", "Chinese"}[i%3]}
		for range 1 + r.IntN(40) {
			q.Text = append(q.Text, int32(r.IntN(400)))
		}
		if m.Config.Type == CustomVoice {
			v, err := m.Config.PresetVoice([]string{"serena", "ryan", "dylan"}[i%3])
			if err != nil {
				t.Fatal(err)
			}
			q.Voice = &v
		} else {
			v := make([]float32, m.Config.Talker.Hidden)
			for j := range v {
				v[j] = float32(r.NormFloat64())
			}
			q.Voice = &Voice{Vector: v}
		}
		p, err := DecodingRows(m.Config, q)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}
