package talker

import (
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// DecodeFrame decodes codes 1 … G-1 of one frame for each sequence: hidden [N,H] is the talker's state before the frame,
// code0 [N] its first codes. pick chooses code j+1 of every sequence from its logits [N,V]. It returns the codes
// [G-1][N] and the summed embedding of the whole frame, [N,H], which the talker reads next.
func (m *Model) DecodeFrame(c *nn.Context, st Stepper, hidden *ts.Tensor, code0 []int64,
	pick func(j int, logits *ts.Tensor) ([]int64, error)) ([][]int64, *ts.Tensor, error) {
	n := int64(len(code0))
	row := m.CodecEmbedding.Forward(c, m.ints(c, code0, n))
	total := row
	state := st.Prefill(c, c.Stack(1, c.To(hidden, m.DType), row), nil)
	codes := make([][]int64, 0, len(m.Predictor.Heads))
	for j, head := range m.Predictor.Heads {
		if j > 0 {
			state = st.Step(c, row)
		}
		picked, err := pick(j, head.Forward(c, c.To(state, m.DType)))
		if err != nil {
			return nil, nil, err
		}
		codes = append(codes, picked)
		row = m.Predictor.Embeddings[j].Forward(c, m.ints(c, picked, n))
		total = c.Add(total, row)
	}
	return codes, total, nil
}
