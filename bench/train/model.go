package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// shape is the Qwen3-like decoder of both sides, and its batch.
type shape struct{ hidden, layers, inner, heads, kvHeads, headDim, vocab, batch, length int64 }

var reference = shape{hidden: 512, layers: 8, inner: 1536, heads: 8, kvHeads: 4, headDim: 64, vocab: 3072, batch: 4, length: 128}

// flags are the shape for the rival.
func (s shape) flags() (list []string) {
	for _, f := range []struct {
		name string
		v    int64
	}{
		{"hidden", s.hidden}, {"layers", s.layers}, {"inner", s.inner}, {"heads", s.heads}, {"kv-heads", s.kvHeads},
		{"head-dim", s.headDim}, {"vocab", s.vocab}, {"batch", s.batch}, {"length", s.length},
	} {
		list = append(list, "--"+f.name, strconv.FormatInt(f.v, 10))
	}
	return list
}

// rotaryBase is theta of the rotary embedding.
const rotaryBase = 1e6

// model is the decoder between an embedding and a head, and a batch of random tokens.
type model struct {
	shape  shape
	dtype  gotch.DType // of activations, and of parameters that are not masters
	embed  *nn.Embedding
	blocks *nn.Decoder
	head   *nn.Slot
	tokens []int64 // [batch, length+1]
}

// Visit shows the parts.
func (m *model) Visit(v nn.Visitor) {
	m.embed.Visit(v)
	m.blocks.Visit(v)
	m.head.Visit(v)
}

// newModel has random weights of a seed. With q its blocks are fake-quantized, as the rival's.
func newModel(s shape, dtype gotch.DType, seed int64, q *qat.Config) (*model, error) {
	m := &model{
		shape: s, dtype: dtype, embed: nn.NewEmbedding("embed", s.vocab, s.hidden), head: nn.NewSlot("head", s.hidden, s.vocab, false),
		blocks: nn.NewDecoder("blocks", nn.DecoderConfig{
			Attention: nn.AttentionConfig{Width: s.hidden, Heads: s.heads, KVHeads: s.kvHeads, HeadDim: s.headDim, Eps: 1e-6},
			Inner:     s.inner, Layers: int(s.layers), Rotary: nn.Rotary{D: s.headDim, Theta: rotaryBase},
		}),
	}
	if err := nn.Init(m, seed, 0.02); err != nil {
		return nil, err
	}
	if q != nil {
		if _, err := qat.Prepare(m.blocks, *q); err != nil {
			return nil, err
		}
	}
	for _, p := range nn.Params(m) {
		err := tensor.Run(func(c *tensor.Scope) error {
			if dtype != gotch.Float && p.DType != "F32" { // masters stay
				p.Set(c.Release(c.To(c.Detach(p.T), dtype)))
			}
			return tensor.RequireGrad(p.T, !p.Frozen)
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	for i := range s.batch * (s.length + 1) {
		m.tokens = append(m.tokens, (i*7919+i/3)%s.vocab)
	}
	return m, nil
}

// step is a forward and a backward pass; gradients are dropped.
func (m *model) step() (ms, loss float64, err error) {
	return m.timed(func(c *nn.Context) (*ts.Tensor, error) {
		x, y := m.batch(c)
		l := m.loss(c, m.hidden(c, x), y)
		return l, tensor.Backward(l)
	})
}

// timed is the time of a step that has passed backward, and its loss.
func (m *model) timed(pass func(c *nn.Context) (*ts.Tensor, error)) (ms, loss float64, err error) {
	began := time.Now()
	err = nn.Run(func(c *nn.Context) error {
		l, err := pass(c)
		if err != nil {
			return err
		}
		loss, err = tensor.Scalar(c.Detach(l))
		return err
	})
	err = errors.Join(err, m.dropGradients())
	return since(began), loss, err
}

// since is in milliseconds.
func since(began time.Time) float64 { return float64(time.Since(began).Microseconds()) / 1000 }

func (m *model) dropGradients() error {
	for _, p := range nn.Params(m) {
		if err := tensor.ZeroGrad(p.T); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}

// batch is the tokens [B,T] and the next ones [B·T,1].
func (m *model) batch(c *nn.Context) (x, y *ts.Tensor) {
	all := c.FromInts(m.tokens, m.shape.batch, m.shape.length+1)
	return c.Narrow(all, 1, 0, m.shape.length), c.Reshape(c.Narrow(all, 1, 1, m.shape.length), -1, 1)
}

// hidden is the normed states [B·T,H] of tokens x.
func (m *model) hidden(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	s := m.shape
	h := m.blocks.Forward(c, m.embed.Forward(c, x), m.positions(c), nn.CausalMask(c, s.length, 0, m.dtype), nil)
	return c.Reshape(h, -1, s.hidden)
}

func (m *model) positions(c *nn.Context) *ts.Tensor {
	return c.Expand(c.Reshape(c.Arange(gotch.Int64, m.shape.length), 1, m.shape.length), m.shape.batch, m.shape.length)
}

// logits is float32 [n,V] of states [n,H].
func (m *model) logits(c *nn.Context, h *ts.Tensor) *ts.Tensor {
	return c.To(m.head.Forward(c, h), gotch.Float)
}

// loss is the cross entropy of the next tokens y, from states h.
func (m *model) loss(c *nn.Context, h, y *ts.Tensor) *ts.Tensor {
	return c.Neg(c.Mean(c.Gather(c.LogSoftmax(m.logits(c, h), -1), -1, y)))
}
