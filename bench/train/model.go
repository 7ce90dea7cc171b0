package main

import (
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

// newModel has random weights. With q its blocks are fake-quantized, as the rival's.
func newModel(s shape, dtype gotch.DType, q *qat.Config) (*model, error) {
	m := &model{
		shape: s, dtype: dtype, embed: nn.NewEmbedding("embed", s.vocab, s.hidden), head: nn.NewSlot("head", s.hidden, s.vocab, false),
		blocks: nn.NewDecoder("blocks", nn.DecoderConfig{
			Attention: nn.AttentionConfig{Width: s.hidden, Heads: s.heads, KVHeads: s.kvHeads, HeadDim: s.headDim, Eps: 1e-6},
			Inner:     s.inner, Layers: int(s.layers), Rotary: nn.Rotary{D: s.headDim, Theta: 1e6},
		}),
	}
	if err := nn.Init(m, 1, 0.02); err != nil {
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
	began := time.Now()
	err = nn.Run(func(c *nn.Context) error {
		l := m.loss(c)
		if err := tensor.Backward(l); err != nil {
			return err
		}
		v, err := tensor.Floats(c.Detach(l))
		if err != nil {
			return err
		}
		loss = float64(v[0])
		return nil
	})
	for _, p := range nn.Params(m) {
		if err == nil {
			err = tensor.ZeroGrad(p.T)
		}
	}
	return float64(time.Since(began).Microseconds()) / 1000, loss, err
}

// loss is the cross entropy of the next tokens.
func (m *model) loss(c *nn.Context) *ts.Tensor {
	s := m.shape
	all := c.FromInts(m.tokens, s.batch, s.length+1)
	x, y := c.Narrow(all, 1, 0, s.length), c.Reshape(c.Narrow(all, 1, 1, s.length), -1, 1)
	positions := c.Expand(c.Reshape(c.Arange(gotch.Int64, s.length), 1, s.length), s.batch, s.length)
	h := m.blocks.Forward(c, m.embed.Forward(c, x), positions, nn.CausalMask(c, s.length, 0, m.dtype), nil)
	logits := c.Reshape(c.To(m.head.Forward(c, h), gotch.Float), -1, s.vocab)
	return c.Neg(c.Mean(c.Gather(c.LogSoftmax(logits, -1), -1, y)))
}
