package parity

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func sftSection(c *nn.Context, x *inputs) error {
	if !x.has("speaker_embedding", "sample0.text_ids", "sample0.codes") {
		return nil
	}
	b, err := x.batch()
	if err != nil {
		return err
	}
	x.putBatch(b)
	for _, p := range nn.Params(x.m) {
		if err := tensor.RequireGrad(p.T, true); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	for _, mode := range []talker.Objective{talker.Script, talker.Projected, talker.Aligned} {
		if !x.asks(mode) {
			continue
		}
		var failed error
		c.Nest(func(in *nn.Context) {
			y := *x
			y.c = in
			failed = y.objective(b, mode)
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// asks tells whether the fixture has goldens of an objective.
func (x *inputs) asks(mode talker.Objective) bool {
	_, norms := x.f.norms[string(mode)]
	return norms || slices.ContainsFunc(x.f.names(x.file), func(n string) bool { return strings.HasPrefix(n, string(mode)+".") })
}

// batch lays out the samples of the golden.
func (x *inputs) batch() (*talker.Batch, error) {
	speakers, err := tensor.Floats(x.tensor("speaker_embedding"))
	if err != nil {
		return nil, err
	}
	H := int(x.m.Config.Talker.Hidden)
	var seqs []talker.Sequence
	for i := 0; x.has(fmt.Sprintf("sample%d.text_ids", i), fmt.Sprintf("sample%d.codes", i)); i++ {
		name := fmt.Sprintf("sample%d", i)
		flat, G := narrow(x.ints(name+".codes")), int(x.shape(name + ".codes")[1])
		if (i+1)*H > len(speakers) {
			return nil, fmt.Errorf("speaker_embedding has %d values, want %d for %s", len(speakers), (i+1)*H, name)
		}
		voice := talker.Voice{Vector: speakers[i*H : (i+1)*H]}
		codes := slices.Collect(slices.Chunk(flat, G))
		seq, err := talker.FineTuningRows(x.m.Config, name, narrow(x.ints(name+".text_ids")), codes, voice)
		if err != nil {
			return nil, err
		}
		seqs = append(seqs, seq)
	}
	return talker.Collate(seqs, talker.PadRight)
}

// putBatch shows the batch in the collated form of the reference: absent ids are 0.
func (x *inputs) putBatch(b *talker.Batch) {
	B, T, G := int64(b.B), int64(b.T), int64(x.m.Config.Groups())
	n := B * T
	ids, codes := make([]int64, 2*n), make([]int64, n*G)
	codecMask, frames := make([]int64, n), make([]int64, n)
	for i := range n {
		ids[2*i], ids[2*i+1] = max(b.Text[i], 0), max(b.Codec[i], 0)
		if b.Codec[i] != talker.None {
			codecMask[i] = 1
		}
	}
	for k, i := range b.Frame {
		ids[2*i+1], codecMask[i], frames[i] = int64(b.Codes[k][0]), 1, 1
		copy(codes[i*G:], widen64(b.Codes[k]))
	}
	x.out.putInts("batch.input_ids", ids, B, T, 2)
	x.out.putInts("batch.codec_ids", codes, B, T, G)
	x.out.putInts("batch.attention_mask", b.Mask, B, T)
	x.out.putInts("batch.text_embedding_mask", b.Mask, B, T, 1) // every real row has a text token
	x.out.putInts("batch.codec_embedding_mask", codecMask, B, T, 1)
	x.out.putInts("batch.codec_mask", frames, B, T)
	x.out.putInts("batch.codec_0_labels", b.Label, B, T)
	x.out.putInts("sub_codes", b.FrameCodes(), int64(len(b.Frame)), G)
}

// objective computes losses and gradients of one mode.
func (x *inputs) objective(b *talker.Batch, mode talker.Objective) error {
	c, m, pre := x.c, x.m, string(mode)+"."
	l, err := m.Loss(c, b, mode)
	if err != nil {
		return err
	}
	x.out.put(pre+"talker_loss", c.Reshape(l.Talker, 1))
	x.out.put(pre+"sub_loss", c.Reshape(l.Sub, 1))
	x.out.put(pre+"loss", c.Reshape(l.Total, 1))
	x.out.put(pre+"inputs_embeds", l.Embedded)
	x.out.put(pre+"sub_hidden", l.Condition)
	x.out.put(pre+"sub_logits", l.SubLogits)
	x.putLogits(b, mode, l.Hidden)
	if err := tensor.Backward(l.Total); err != nil {
		return err
	}
	for _, p := range nn.Params(m) {
		norm := 0.0
		if g := c.Gradient(p.T); g != nil {
			norm, err = tensor.Scalar(c.Sqrt(c.Sum(c.Square(c.To(g, gotch.Double)))))
		}
		x.out[gradName(string(mode), p.Name)] = computed{shape: []int64{}, values: []float64{norm}, err: err}
	}
	if mode == talker.Aligned {
		if err := x.gradients(); err != nil {
			return err
		}
		return x.step()
	}
	for _, p := range nn.Params(m) {
		if err := tensor.ZeroGrad(p.T); err != nil {
			return err
		}
	}
	return nil
}

// putLogits shows the talker's logits as far as the golden has them: the first columns, and without the last row where
// the mode does not feed it. Padded rows are zero.
func (x *inputs) putLogits(b *talker.Batch, mode talker.Objective, hidden *ts.Tensor) {
	name := string(mode) + ".talker_logits"
	if !x.has(name) || len(x.shape(name)) != 3 {
		return
	}
	c, T := x.c, int64(b.T)
	if mode != talker.Aligned {
		T--
	}
	real := c.Reshape(c.FromInts(b.Mask, int64(b.B), int64(b.T)), int64(b.B), int64(b.T), 1)
	logits := c.Mul(x.m.CodecHead.Forward(c, hidden), real)
	columns := min(x.shape(name)[2], x.m.Config.Talker.Vocab)
	x.out.put(name, c.Narrow(c.Narrow(logits, 1, 0, T), 2, 0, columns))
}

// gradients shows whole gradients and the first rows with a gradient of the embedding tables.
func (x *inputs) gradients() error {
	of := make(map[string]*ts.Tensor)
	for _, p := range nn.Params(x.m) {
		of[p.Name] = x.c.Gradient(p.T)
	}
	for _, e := range x.f.tensors {
		if e.File != x.file {
			continue
		}
		if name, ok := strings.CutPrefix(e.Name, "grad."); ok {
			if of[name] == nil {
				x.fail(e.Name, "the parameter has no gradient")
				continue
			}
			x.out.put(e.Name, of[name])
		}
		if name, ok := strings.CutPrefix(e.Name, "grad_rows."); ok && !strings.HasSuffix(name, ".ids") {
			if err := x.gradRows(e, of[name+".weight"]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *inputs) gradRows(rows entry, g *ts.Tensor) error {
	ids := rows.Name + ".ids"
	if g == nil || !x.has(ids) {
		x.fail(rows.Name, "the table has no gradient, or the golden no row numbers")
		return nil
	}
	limit := len(x.ints(ids))
	for _, e := range x.f.tensors {
		if e.File == x.file && e.Name == ids {
			// The golden has the first rows with a gradient; how many it took at most is in words.
			if _, err := fmt.Sscanf(e.Meaning, "first %d rows", &limit); err != nil {
				limit = len(x.ints(ids))
			}
		}
	}
	sums, err := tensor.Floats(x.c.SumDim(x.c.Abs(g), false, 1))
	if err != nil {
		return err
	}
	var nonzero []int64
	for i, v := range sums {
		if v != 0 && len(nonzero) < limit {
			nonzero = append(nonzero, int64(i))
		}
	}
	x.out.putInts(ids, nonzero, int64(len(nonzero)))
	x.out.put(rows.Name, x.c.IndexSelect(g, 0, x.c.FromInts(nonzero, int64(len(nonzero)))))
	return nil
}

func narrow(v []int64) []int32 {
	out := make([]int32, len(v))
	for i, n := range v {
		out[i] = int32(n)
	}
	return out
}

func widen64(v []int32) []int64 {
	out := make([]int64, len(v))
	for i, n := range v {
		out[i] = int64(n)
	}
	return out
}
