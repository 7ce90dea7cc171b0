package export

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/gguf"
)

// tokenTable is llama.cpp's table of tokens: for the text what the projection makes of each row of the embedding,
// fc2(silu(fc1(row))), behind it the rows of the codec's. It has the dtype of the embeddings, to which the sums in float32
// are rounded; what the rest of the model is packed to does not matter.
func (w *ggufWriter) tokenTable() (gguf.Tensor, error) {
	t := &w.cfg.Talker
	dtype := w.tableDType()
	kind, err := plainType(dtype)
	if err != nil {
		return gguf.Tensor{}, err
	}
	f := &fold{hidden: t.TextHidden, out: t.Hidden}
	for _, p := range []struct {
		into *[]float32
		name string
		n    int64
	}{
		{&f.up, folded[1] + ".weight", f.hidden * f.hidden}, {&f.upBias, folded[1] + ".bias", f.hidden},
		{&f.down, folded[2] + ".weight", f.out * f.hidden}, {&f.downBias, folded[2] + ".bias", f.out},
	} {
		if *p.into, err = w.numbers(p.name, p.n); err != nil {
			return gguf.Tensor{}, err
		}
	}
	rows := gguf.Tensor{Name: "token_embd.weight", Type: kind, Shape: []int64{t.TextVocab + t.Vocab, t.Hidden}}
	rows.Stream = func(to io.Writer) error {
		put := func(y []float32) error {
			b, err := rounded(dtype, y)
			if err != nil {
				return err
			}
			_, err = to.Write(b)
			return err
		}
		if err := w.textRows(f, put); err != nil {
			return err
		}
		codec, err := w.numbers("talker.model.codec_embedding.weight", t.Vocab*t.Hidden)
		if err != nil {
			return err
		}
		return put(codec)
	}
	return rows, nil
}

// textRows calls put with what the projection makes of the text embedding. A float table, which is large, is read as it is
// streamed and never whole in float32.
func (w *ggufWriter) textRows(f *fold, put func([]float32) error) error {
	name, n := folded[0]+".weight", w.cfg.Talker.TextVocab*f.hidden
	t := w.model.restTensor(name)
	if t == nil {
		x, err := w.numbers(name, n)
		if err != nil {
			return err
		}
		return f.rows(x, put)
	}
	r := &rowReader{dtype: t.DType, width: f.hidden, each: func(x []float32) error { return f.rows(x, put) }}
	if err := t.Stream(r); err != nil {
		return err
	}
	if r.numbers != n || len(r.left) > 0 {
		return fmt.Errorf("tensor %q has %d numbers, want %d", name, r.numbers, n)
	}
	return nil
}

// rowReader calls each with the numbers of whole rows of what is written to it.
type rowReader struct {
	dtype   string
	width   int64
	each    func([]float32) error
	left    []byte // of a row that has begun
	numbers int64
}

func (r *rowReader) Write(p []byte) (int, error) {
	size, err := ckpt.DTypeSize(r.dtype)
	if err != nil {
		return 0, err
	}
	data := p
	if len(r.left) > 0 {
		data = append(r.left, p...)
	}
	for block := foldRows * r.width * size; int64(len(data)) >= r.width*size; {
		take := min(block, int64(len(data))/(r.width*size)*(r.width*size))
		x, err := floats(r.dtype, data[:take])
		if err != nil {
			return 0, err
		}
		if err := r.each(x); err != nil {
			return 0, err
		}
		r.numbers, data = r.numbers+int64(len(x)), data[take:]
	}
	r.left = bytes.Clone(data)
	return len(p), nil
}

// tableDType is that of the first float tensor among those that stand in the table, else of the final norm.
func (w *ggufWriter) tableDType() string {
	for _, name := range []string{folded[0] + ".weight", "talker.model.codec_embedding.weight", "talker.model.norm.weight"} {
		if t := w.model.restTensor(name); t != nil {
			return t.DType
		}
	}
	return "F32"
}

// numbers are the n values of a weight, whatever form it has.
func (w *ggufWriter) numbers(name string, n int64) (x []float32, err error) {
	path, weight := strings.CutSuffix(name, ".weight")
	if m := w.model.find(path); weight && m != nil {
		x, err = m.dense()
	} else if t := w.model.restTensor(name); t != nil {
		x, err = values(t)
	} else {
		err = fmt.Errorf("the checkpoint has no tensor %q", name)
	}
	if err == nil && int64(len(x)) != n {
		err = fmt.Errorf("tensor %q has %d numbers, want %d", name, len(x), n)
	}
	return x, err
}

// foldRows is how many rows are projected in one go.
const foldRows = 2048

// fold is the text projection.
type fold struct {
	hidden, out                int64
	up, upBias, down, downBias []float32
}

// rows calls put with the projections of rows of x [n, hidden], some at a time.
func (f *fold) rows(x []float32, put func([]float32) error) error {
	return tensor.Run(func(s *tensor.Scope) error {
		up, upBias := s.FromFloats(f.up, f.hidden, f.hidden), s.FromFloats(f.upBias, f.hidden)
		down, downBias := s.FromFloats(f.down, f.out, f.hidden), s.FromFloats(f.downBias, f.out)
		for n := int64(len(x)) / f.hidden; n > 0; n = int64(len(x)) / f.hidden {
			take := min(n, foldRows)
			var y []float32
			var err error
			s.Nest(func(in *tensor.Scope) {
				h := in.Silu(in.Linear(in.FromFloats(x[:take*f.hidden], take, f.hidden), up, upBias))
				y, err = tensor.Floats(in.Linear(h, down, downBias))
			})
			if err == nil {
				err = put(y)
			}
			if err != nil {
				return err
			}
			x = x[take*f.hidden:]
		}
		return nil
	})
}
