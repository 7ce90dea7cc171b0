package talker

import (
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Predictor is the code predictor ("sub-talker"): codes 1 … G-1 of one frame from the talker's hidden state and code 0.
//
//	row     0       1           2             …  G-1
//	input   hidden  codec0(c0)  codec_1(c1)   …  codec_{G-2}(c_{G-2})
//	output  -       Heads[0]    Heads[1]      …  Heads[G-2]
//	of code         1           2             …  G-1
type Predictor struct {
	Embeddings []*nn.Embedding // table g-1 has the codes of group g, [V, H]: the talker's width
	Adapter    *nn.Slot        // H -> Hp on every input row; nil when the widths are equal
	Decoder    *nn.Decoder
	Heads      []*nn.Slot // Hp -> V; head j predicts code j+1
}

func newPredictor(cfg *Config) *Predictor {
	const path = "talker.code_predictor"
	t, cp := &cfg.Talker, &cfg.Talker.Predictor
	p := &Predictor{Decoder: nn.NewDecoder(path+".model", cp.decoder())}
	if cfg.Adapter() {
		p.Adapter = nn.NewSlot(path+".small_to_mtp_projection", t.Hidden, cp.Hidden, true)
	}
	for j := range t.Groups - 1 {
		p.Embeddings = append(p.Embeddings, nn.NewEmbedding(fmt.Sprintf("%s.model.codec_embedding.%d", path, j), cp.Vocab, t.Hidden))
		p.Heads = append(p.Heads, nn.NewSlot(fmt.Sprintf("%s.lm_head.%d", path, j), cp.Hidden, cp.Vocab, false))
	}
	return p
}

// Visit shows the parts in the order of computation.
func (p *Predictor) Visit(v nn.Visitor) {
	for _, e := range p.Embeddings {
		e.Visit(v)
	}
	if p.Adapter != nil {
		p.Adapter.Visit(v)
	}
	p.Decoder.Visit(v)
	for _, h := range p.Heads {
		h.Visit(v)
	}
}

// Adapt maps input rows [..., H] to the predictor's width.
func (p *Predictor) Adapt(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	if p.Adapter == nil {
		return x
	}
	return p.Adapter.Forward(c, x)
}

// PredictorRows is the teacher-forced input [N,G,H] of hidden [N,H] and codes [N,G].
func (m *Model) PredictorRows(c *nn.Context, hidden, codes *ts.Tensor) *ts.Tensor {
	rows := []*ts.Tensor{hidden, m.CodecEmbedding.Forward(c, c.Select(codes, 1, 0))}
	for g := 1; g < m.Config.Groups()-1; g++ {
		rows = append(rows, m.Predictor.Embeddings[g-1].Forward(c, c.Select(codes, 1, int64(g))))
	}
	return c.Stack(1, rows...)
}

// PredictorHidden maps the input rows of whole frames [N,T,H] to final-normed states [N,T,Hp].
func (m *Model) PredictorHidden(c *nn.Context, rows *ts.Tensor) *ts.Tensor {
	view := m.frameView(c, rows)
	return m.Predictor.Decoder.Forward(c, m.Predictor.Adapt(c, rows), view.Positions, view.Mask, nil)
}

// frameView is the view of frames [N,T,...], all of whose rows are real.
func (m *Model) frameView(c *nn.Context, rows *ts.Tensor) View {
	T := int(c.Shape(rows)[1])
	return m.ViewOf(c, filled(T, 1), 1, T)
}

// Predict runs the code predictor with the true codes: hidden [N,H] is the talker's final-normed state of the row before
// the frame, codes [N,G] int64 the frame. The result [N,G-1,Hp] is the final-normed state behind each head.
func (m *Model) Predict(c *nn.Context, hidden, codes *ts.Tensor) *ts.Tensor {
	return m.predicting(c, m.PredictorHidden(c, m.PredictorRows(c, hidden, codes)))
}

// predicting are the states [N,G-1,Hp] of [N,G,Hp] that have a head.
func (m *Model) predicting(c *nn.Context, states *ts.Tensor) *ts.Tensor {
	return c.Narrow(states, 1, 1, int64(m.Config.Groups()-1))
}

// CodeLogits applies head j to row j of states [N,G-1,Hp]: [N,G-1,V], logits of codes 1 … G-1.
func (m *Model) CodeLogits(c *nn.Context, states *ts.Tensor) *ts.Tensor {
	out := make([]*ts.Tensor, len(m.Predictor.Heads))
	for j := range out {
		out[j] = m.CodeLogit(c, states, j)
	}
	return c.Stack(1, out...)
}

// CodeLogit is the logits [N,V] of code j+1 from states [N,G-1,Hp].
func (m *Model) CodeLogit(c *nn.Context, states *ts.Tensor, j int) *ts.Tensor {
	return m.Predictor.Heads[j].Forward(c, c.Select(states, 1, int64(j)))
}
