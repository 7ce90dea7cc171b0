package talker

import (
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Model is the talker. Its parameters are named by the checkpoint's keys.
type Model struct {
	Config *Config
	Device gotch.Device // of the parameters
	DType  gotch.DType  // of the activations

	TextEmbedding  *nn.Embedding // [text_vocab, text_hidden]
	TextUp         *nn.Slot      // talker.text_projection.linear_fc1
	TextDown       *nn.Slot      // talker.text_projection.linear_fc2
	CodecEmbedding *nn.Embedding // [Vc, H]: codes of group 0, control tokens, speakers
	Decoder        *nn.Decoder
	CodecHead      *nn.Slot // H -> Vc
	Predictor      *Predictor
}

// New declares the model of a valid configuration; no parameter has storage yet (see Load and nn.Init).
func New(cfg *Config) (*Model, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	t := &cfg.Talker
	if t.TextKept > 0 && int64(len(cfg.kept)) != t.TextKept {
		return nil, fmt.Errorf("talker: text_vocab_kept is %d, and %d ids are known: such a configuration is read with its checkpoint", t.TextKept, len(cfg.kept))
	}
	m := &Model{
		Config:         cfg,
		Device:         gotch.CPU,
		DType:          gotch.Float,
		TextEmbedding:  nn.NewEmbedding(TextTable, t.TextVocab, t.TextHidden),
		TextUp:         nn.NewSlot("talker.text_projection.linear_fc1", t.TextHidden, t.TextHidden, true),
		TextDown:       nn.NewSlot("talker.text_projection.linear_fc2", t.TextHidden, t.Hidden, true),
		CodecEmbedding: nn.NewEmbedding("talker.model.codec_embedding", t.Vocab, t.Hidden),
		Decoder:        nn.NewDecoder("talker.model", t.decoder()),
		CodecHead:      nn.NewSlot("talker.codec_head", t.Hidden, t.Vocab, false),
		Predictor:      newPredictor(cfg),
	}
	if t.TextKept == 0 {
		return m, nil
	}
	return m, m.TextEmbedding.Keep(cfg.kept)
}

// Visit shows the parts in the order of computation.
func (m *Model) Visit(v nn.Visitor) {
	m.TextEmbedding.Visit(v)
	m.TextUp.Visit(v)
	m.TextDown.Visit(v)
	m.CodecEmbedding.Visit(v)
	m.Decoder.Visit(v)
	m.CodecHead.Visit(v)
	m.Predictor.Visit(v)
}

// Close frees the parameters.
func (m *Model) Close() { nn.Close(m) }

// Text is the text track of token ids [...]: fc2(silu(fc1(row))), [..., H].
func (m *Model) Text(c *nn.Context, ids *ts.Tensor) *ts.Tensor {
	return m.TextDown.Forward(c, c.Silu(m.TextUp.Forward(c, m.TextEmbedding.Forward(c, ids))))
}

// View says where the rows of a batch stand and which rows each of them sees.
type View struct {
	Positions *ts.Tensor // [B or 1, T] int64
	Mask      *ts.Tensor // added to attention scores, [B or 1, 1, T, S]
}

// View of a batch; see ViewOf.
func (m *Model) View(c *nn.Context, b *Batch) View { return m.ViewOf(c, b.Mask, b.B, b.T) }

// ViewOf B sequences of T rows, of which those with mask[b·T+t] = 1 are real: row i sees row j if j ≤ i and j is real.
// Positions count the real rows before; padding stands at 1.
func (m *Model) ViewOf(c *nn.Context, mask []int64, B, T int) View {
	hide := nn.CausalMask(c, int64(T), 0, m.DType)
	if leftPadded(mask, B, T) { // a row never sees what is right of it, so padding on the right needs no mask
		real := c.To(c.FromInts(mask, int64(B), 1, 1, int64(T)), m.DType)
		hide = c.Clamp(c.Add(hide, c.MulScalar(c.SubScalar(real, 1), nn.Masked)), -nn.Masked, 0)
	}
	return View{
		Positions: m.ints(c, positions(mask, B, T), int64(B), int64(T)),
		Mask:      c.ToDevice(hide, m.Device),
	}
}

func leftPadded(mask []int64, B, T int) bool {
	for k := range B {
		for t := 1; t < T; t++ {
			if mask[k*T+t] > mask[k*T+t-1] {
				return true
			}
		}
	}
	return false
}

func positions(mask []int64, B, T int) []int64 {
	out := make([]int64, len(mask))
	for b := range B {
		n := int64(0)
		for t := range T {
			k := b*T + t
			if out[k] = 1; mask[k] != 0 {
				out[k] = n
				n++
			}
		}
	}
	return out
}

// Hidden is the final-normed hidden states [B,T,H] of embedded rows x [B,T,H]. caches are nil, or one per layer.
func (m *Model) Hidden(c *nn.Context, x *ts.Tensor, view View, caches []*nn.KVCache) *ts.Tensor {
	return m.Decoder.Forward(c, x, view.Positions, view.Mask, caches)
}

// Forward embeds a batch and returns its final-normed hidden states [B,T,H].
func (m *Model) Forward(c *nn.Context, b *Batch) *ts.Tensor {
	return m.Hidden(c, m.Embed(c, b), m.View(c, b), nil)
}

// Pick is rows of hidden [B,T,H], numbered through the batch (b·T + t): [len(rows), H].
func (m *Model) Pick(c *nn.Context, hidden *ts.Tensor, rows []int64) *ts.Tensor {
	return c.IndexSelect(c.Reshape(hidden, -1, m.Config.Talker.Hidden), 0, m.ints(c, rows, int64(len(rows))))
}

func (m *Model) ints(c *nn.Context, v []int64, shape ...int64) *ts.Tensor {
	return c.ToDevice(c.FromInts(v, shape...), m.Device)
}
