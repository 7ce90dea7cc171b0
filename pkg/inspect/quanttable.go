package inspect

import (
	"fmt"

	"github.com/qakd/qakd/pkg/report"
)

// Tables prints the view.
func (q *Quant) Tables() []*report.Table {
	title := map[string]string{
		"float":   "a float checkpoint; this is what the experiment would do",
		"student": "a fake-quantized student; bytes after are those of packing it",
		"packed":  "a packed checkpoint",
	}[q.Kind]
	t := &report.Table{Title: q.Dir + ": " + title, Columns: []string{"layer", "out", "in", "weights", "activations", "bits/weight", "bytes before", "bytes after"}}
	scales, sqnr, notes := q.Kind != "float", q.Teacher != "", false
	for _, l := range q.Layers {
		notes = notes || l.Note != ""
	}
	add := func(on bool, columns ...string) { // columns that a view of this kind has something for
		if on {
			t.Columns = append(t.Columns, columns...)
		}
	}
	add(scales, "scales", "least scale", "largest scale")
	add(sqnr, "SQNR dB")
	add(notes, "note")
	for _, l := range q.Layers {
		cells := []any{l.Path, l.Out, l.In, l.Weight, l.Activation, l.BitsPerWeight, count(l.BytesBefore), count(l.BytesAfter)}
		if scales {
			cells = append(cells, count(l.Scales), float(l.ScaleMin), float(l.ScaleMax))
		}
		if sqnr {
			cells = append(cells, float(l.SQNR))
		}
		if notes {
			cells = append(cells, l.Note)
		}
		t.Add(cells...)
	}
	for _, l := range q.Embeddings {
		cells := []any{l.Path, l.Out, l.In, l.Weight, "embedding", l.BitsPerWeight, count(l.BytesBefore), count(l.BytesAfter)}
		if scales {
			cells = append(cells, count(l.Scales))
		}
		for len(cells) < len(t.Columns) {
			cells = append(cells, "")
		}
		t.Add(cells...)
	}
	for _, path := range q.Kept {
		cells := make([]any, len(t.Columns))
		for i := range cells {
			cells[i] = ""
		}
		cells[0], cells[3] = path, "float"
		t.Add(cells...)
	}
	total := &report.Table{Title: "totals", Columns: []string{"what", "parameters", "bits/weight", "bytes before", "bytes after", "SQNR dB"}}
	total.Add(fmt.Sprintf("%d quantized weights", len(q.Layers)), count(q.Params), q.BitsPerWeight, count(q.BytesBefore), count(q.BytesAfter), float(q.SQNR))
	tables := q.AllEmbeddings
	if len(q.Embeddings) > 0 {
		total.Add(fmt.Sprintf("%d quantized embeddings", len(q.Embeddings)), count(tables.Params), 8*float64(tables.BytesAfter)/float64(tables.Params),
			count(tables.BytesBefore), count(tables.BytesAfter), "")
	}
	total.Add("everything else", count(q.Rest.Parameters), "", count(q.Rest.Bytes), count(q.Rest.Bytes), "")
	total.Add("all", count(q.Params+tables.Params+q.Rest.Parameters), "", count(q.BytesBefore+tables.BytesBefore+q.Rest.Bytes),
		count(q.BytesAfter+tables.BytesAfter+q.Rest.Bytes), "")
	for _, note := range q.Notes {
		total.Add("note: "+note, "", "", "", "", "")
	}
	if len(q.Rotations) == 0 {
		return []*report.Table{t, total}
	}
	turned := &report.Table{Title: "Hadamard rotations as it runs: of a decoder's residual stream, of a projection's input", Columns: []string{"path", "block", "seed of signs"}}
	for _, r := range q.Rotations {
		turned.Add(r.Path, r.Block, r.Seed)
	}
	return []*report.Table{t, turned, total}
}

// float is the number behind a pointer for report.Cell; nil for none.
func float[F float32 | float64](p *F) any {
	if p == nil {
		return nil
	}
	return float64(*p)
}
