package inspect

import (
	"fmt"
	"strings"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/report"
)

// Layers is every matrix of the talker, in the order of the computation.
type Layers struct {
	Dir    string  `json:"dir"`
	Kind   string  `json:"kind"`
	Layers []Layer `json:"layers"`
}

// Layer is a projection [out, in] or an embedding (out rows, in wide).
type Layer struct {
	Path       string `json:"path"`
	Kind       string `json:"kind"` // projection, embedding
	Role       string `json:"role"`
	Out        int64  `json:"out"`
	In         int64  `json:"in"`
	Parameters int64  `json:"parameters"` // weights and bias
	DType      string `json:"dtype"`      // of the weight: BF16, "int4 in I32"; "missing" where the file has none
	Bytes      int64  `json:"bytes"`      // with scales, zero points and bias
}

// Layers looks at projections and embeddings. It reads headers only.
func (c *Checkpoint) Layers() (*Layers, error) {
	out := &Layers{Dir: c.Dir, Kind: c.Kind}
	tables := c.embeddings()
	c.model.Visit(nn.Visitor{
		Slot: func(s *nn.Slot) { out.Layers = append(out.Layers, c.projection(s)) },
		Param: func(p *nn.Param) {
			if role, ok := tables[p]; ok {
				out.Layers = append(out.Layers, c.matrix(c.matrices[strings.TrimSuffix(p.Name, ".weight")], "embedding", role))
			}
		},
	})
	return out, nil
}

// embeddings are the tables with their roles.
func (c *Checkpoint) embeddings() map[*nn.Param]string {
	m := c.model
	roles := map[*nn.Param]string{
		m.TextEmbedding.W:  "text vocabulary: tokens of the text",
		m.CodecEmbedding.W: "codec vocabulary: codes of codebook 0, control ids, languages, speakers",
	}
	for j, e := range m.Predictor.Embeddings {
		roles[e.W] = fmt.Sprintf("codes of codebook %d", j+1)
	}
	return roles
}

func (c *Checkpoint) projection(s *nn.Slot) Layer { return c.matrix(s, "projection", c.role(s.Path)) }

func (c *Checkpoint) matrix(s *nn.Slot, kind, role string) Layer {
	l := Layer{Path: s.Path, Kind: kind, Role: role, Out: s.Out, In: s.In}
	c.fill(&l, append([]string{".weight", ".weight_packed", ".bias"}, beside...))
	if _, bits, ok := c.packed(s); ok {
		l.DType = fmt.Sprintf("int%d in I32", bits)
	}
	return l
}

// fill adds up the tensors of a layer that the file has.
func (c *Checkpoint) fill(l *Layer, suffixes []string) {
	l.DType = "missing"
	for _, suffix := range suffixes {
		info, ok := c.infos[l.Path+suffix]
		if !ok {
			continue
		}
		l.Parameters, l.Bytes = l.Parameters+c.params(info), l.Bytes+info.Bytes
		if suffix == ".weight" || suffix == ".weight_packed" {
			l.DType = info.DType
		}
	}
}

// role says what a projection is for.
func (c *Checkpoint) role(path string) string {
	_, name := cutLast(path)
	switch name {
	case "q_proj", "k_proj", "v_proj":
		return "attention: " + map[string]string{"q": "queries", "k": "keys", "v": "values"}[name[:1]]
	case "o_proj":
		return "attention: output"
	case "gate_proj", "up_proj", "down_proj":
		return "mlp: " + strings.TrimSuffix(name, "_proj")
	case "linear_fc1":
		return "text projection, inner"
	case "linear_fc2":
		return "text projection, to the talker's width"
	case "codec_head":
		return "logits of code 0 and the end"
	case "small_to_mtp_projection":
		return "adapter, to the predictor's width"
	}
	for j, h := range c.model.Predictor.Heads {
		if h.Path == path {
			return fmt.Sprintf("logits of code %d", j+1)
		}
	}
	return "unknown"
}

// Tables prints the view.
func (l *Layers) Tables() []*report.Table {
	t := &report.Table{Title: l.Dir, Columns: []string{"path", "role", "out", "in", "parameters", "dtype", "bytes"}}
	var params, bytes int64
	for _, x := range l.Layers {
		t.Add(x.Path, x.Role, x.Out, x.In, count(x.Parameters), x.DType, count(x.Bytes))
		params, bytes = params+x.Parameters, bytes+x.Bytes
	}
	t.Add(fmt.Sprintf("all %d", len(l.Layers)), "", "", "", count(params), "", count(bytes))
	return []*report.Table{t}
}
