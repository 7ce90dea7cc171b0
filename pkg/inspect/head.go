package inspect

import (
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/report"
)

// Heads are the output layers: one for code 0 and the end, one for each other codebook.
type Heads struct {
	Dir   string `json:"dir"`
	Kind  string `json:"kind"`
	EOS   int32  `json:"eos"` // id of the end in the codec vocabulary
	Heads []Head `json:"heads"`
}

// Head is one of them.
type Head struct {
	Path       string `json:"path"`
	Predicts   string `json:"predicts"`
	Rows       int64  `json:"rows"`
	Width      int64  `json:"width"`
	Reachable  int64  `json:"reachable"`  // rows that decoding can draw
	Suppressed int64  `json:"suppressed"` // control ids, languages, speakers: never drawn
	Ends       bool   `json:"ends"`       // has the end among its rows
	Table      string `json:"table"`      // the embedding that codes drawn here are looked up in
	Tied       bool   `json:"tied"`       // shares its weight with that table (tie_word_embeddings)
	DType      string `json:"dtype"`
	Parameters int64  `json:"parameters"`
	Bytes      int64  `json:"bytes"`
}

// Head looks at the output layers. It reads headers only.
func (c *Checkpoint) Head() (*Heads, error) {
	t, m := &c.Config.Talker, c.model
	out := &Heads{Dir: c.Dir, Kind: c.Kind, EOS: t.CodecEos}
	first := c.head(m.CodecHead, "code 0, end", m.CodecEmbedding, t.TieEmbeddings)
	for id := range t.Vocab {
		if t.Suppressed(id) {
			first.Suppressed++
		}
	}
	first.Reachable, first.Ends = first.Rows-first.Suppressed, true
	out.Heads = append(out.Heads, first)
	for j, s := range m.Predictor.Heads {
		h := c.head(s, fmt.Sprintf("code %d", j+1), m.Predictor.Embeddings[j], t.Predictor.TieEmbeddings)
		h.Reachable = h.Rows
		out.Heads = append(out.Heads, h)
	}
	return out, nil
}

func (c *Checkpoint) head(s *nn.Slot, predicts string, e *nn.Embedding, tied bool) Head {
	l := c.projection(s)
	return Head{
		Path: s.Path, Predicts: predicts, Rows: s.Out, Width: s.In, Table: e.W.Name,
		Tied: tied, DType: l.DType, Parameters: l.Parameters, Bytes: l.Bytes,
	}
}

// Tables prints the view.
func (h *Heads) Tables() []*report.Table {
	t := &report.Table{Title: fmt.Sprintf("%s: end of speech is id %d", h.Dir, h.EOS),
		Columns: []string{"head", "predicts", "rows", "width", "reachable", "suppressed", "codes read by", "tied", "dtype", "parameters", "bytes"}}
	for _, x := range h.Heads {
		t.Add(x.Path, x.Predicts, x.Rows, x.Width, x.Reachable, x.Suppressed, x.Table, x.Tied, x.DType, count(x.Parameters), count(x.Bytes))
	}
	return []*report.Table{t}
}
