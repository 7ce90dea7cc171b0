package talker

import (
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Embed sums each row's embeddings: [B,T,H]. Padding is zero.
func (m *Model) Embed(c *nn.Context, b *Batch) *ts.Tensor {
	return m.embed(c, b, m.Text)
}

// embed with the given text track, ids [n] -> [n,H].
func (m *Model) embed(c *nn.Context, b *Batch, text func(*nn.Context, *ts.Tensor) *ts.Tensor) *ts.Tensor {
	H, n := m.Config.Talker.Hidden, int64(b.B*b.T)
	x := c.ToDevice(c.Zeros(m.DType, n, H), m.Device)
	place := func(rows []int64, values *ts.Tensor) { // x[rows] += values
		x = c.Must(x.IndexAdd(0, m.ints(c, rows, int64(len(rows))), values, false))
	}
	if rows, ids := present(b.Text); len(rows) > 0 {
		// The same token is the same vector wherever it stands, and most rows are the pad token: project each once.
		kinds, of := distinct(ids)
		vectors := text(c, m.ints(c, kinds, int64(len(kinds))))
		place(rows, c.IndexSelect(vectors, 0, m.ints(c, of, int64(len(of)))))
	}
	if rows, ids := present(b.Codec); len(rows) > 0 {
		place(rows, m.CodecEmbedding.Forward(c, m.ints(c, ids, int64(len(ids)))))
	}
	frames := func(rows []int64, codes [][]int32) {
		if n := int64(len(rows)); n > 0 {
			place(rows, m.Frames(c, m.ints(c, flat(codes), n, int64(m.Config.Groups()))))
		}
	}
	frames(b.Frame, b.Codes)
	frames(b.Given, b.GivenCodes)
	if len(b.SpeakerRow) > 0 {
		v := c.ToDevice(c.FromFloats(b.Speaker, int64(len(b.SpeakerRow)), H), m.Device)
		place(b.SpeakerRow, c.To(v, m.DType))
	}
	return c.Reshape(x, int64(b.B), int64(b.T), H)
}

// Frames sums the embeddings of all codes of frames [N,G]: [N,H].
func (m *Model) Frames(c *nn.Context, codes *ts.Tensor) *ts.Tensor {
	x := m.CodecEmbedding.Forward(c, c.Select(codes, 1, 0))
	for j, e := range m.Predictor.Embeddings {
		x = c.Add(x, e.Forward(c, c.Select(codes, 1, int64(j+1))))
	}
	return x
}

// present lists the rows that have an id, and the ids.
func present(dense []int64) (rows, ids []int64) {
	for i, id := range dense {
		if id != None {
			rows, ids = append(rows, int64(i)), append(ids, id)
		}
	}
	return rows, ids
}

// distinct lists the different ids in order of appearance, and for each id its place in that list.
func distinct(ids []int64) (kinds, of []int64) {
	place := make(map[int64]int64)
	for _, id := range ids {
		k, ok := place[id]
		if !ok {
			k = int64(len(kinds))
			place[id], kinds = k, append(kinds, id)
		}
		of = append(of, k)
	}
	return kinds, of
}
