package talker

import (
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Part is a stretch of the teacher-forced pass. Between two parts, one tensor of each batch is all that goes on, so that a
// model can be looked at one part at a time: embedding, the talker's blocks one by one, what lies between the decoders, the
// code predictor's blocks one by one, its heads. All parts in a row are Forward, the codec head, Predict and CodeLogits, to
// the bit.
type Part struct {
	Path   string     // of the block, or of what comes first
	Slots  []*nn.Slot // its projections, in the order of the tree
	Block  *nn.Block  // nil outside of the decoders
	Padded bool       // x and the slots' inputs have the rows of the batch, padding included; else every row is real
	// Forward maps the tensor before the part to the one behind it: rows [B,T,H] in the talker, [N,G,Hp] in the code
	// predictor. The first part reads nil, the last one gives nil.
	Forward func(c *nn.Context, b *Batch, x *ts.Tensor) *ts.Tensor
}

// Rows is the number of rows of the batch that go through a block of the part's decoder.
func (p *Part) Rows(b *Batch) int64 {
	if p.Padded {
		return int64(b.B * b.T)
	}
	return int64(len(b.Frame) * b.groups)
}

// Parts are the model's, in the order of the pass, which is that of the tree.
func (m *Model) Parts() []Part {
	parts := []Part{{
		Path: "talker.text_projection", Slots: []*nn.Slot{m.TextUp, m.TextDown},
		Forward: func(c *nn.Context, b *Batch, _ *ts.Tensor) *ts.Tensor { return m.Decoder.Enter(c, m.Embed(c, b)) },
	}}
	for i, block := range m.Decoder.Blocks {
		parts = append(parts, Part{
			Path: block.Path, Slots: nn.Slots(block), Block: block, Padded: true,
			Forward: func(c *nn.Context, b *Batch, x *ts.Tensor) *ts.Tensor {
				view := m.View(c, b)
				return m.Decoder.Layer(c, i, x, view.Positions, view.Mask)
			},
		})
	}
	between := []*nn.Slot{m.CodecHead}
	if m.Predictor.Adapter != nil {
		between = append(between, m.Predictor.Adapter)
	}
	parts = append(parts, Part{Path: m.CodecHead.Path, Slots: between, Forward: m.between})
	for i, block := range m.Predictor.Decoder.Blocks {
		parts = append(parts, Part{
			Path: block.Path, Slots: nn.Slots(block), Block: block,
			Forward: func(c *nn.Context, _ *Batch, x *ts.Tensor) *ts.Tensor {
				view := m.frameView(c, x)
				return m.Predictor.Decoder.Layer(c, i, x, view.Positions, view.Mask)
			},
		})
	}
	return append(parts, Part{
		Path: "talker.code_predictor.lm_head", Slots: m.Predictor.Heads,
		Forward: func(c *nn.Context, _ *Batch, x *ts.Tensor) *ts.Tensor {
			m.CodeLogits(c, m.predicting(c, m.Predictor.Decoder.Leave(c, x)))
			return nil
		},
	})
}

// between the decoders: the talker's last block's rows [B,T,H] become the code predictor's first rows [N,G,Hp].
func (m *Model) between(c *nn.Context, b *Batch, x *ts.Tensor) *ts.Tensor {
	hidden := m.Decoder.Leave(c, x)
	m.CodecHead.Forward(c, m.Pick(c, hidden, b.TargetRows()))
	codes := m.ints(c, b.FrameCodes(), int64(len(b.Frame)), int64(m.Config.Groups()))
	return m.Predictor.Decoder.Enter(c, m.Predictor.Adapt(c, m.PredictorRows(c, m.Pick(c, hidden, b.ConditionRows()), codes)))
}
