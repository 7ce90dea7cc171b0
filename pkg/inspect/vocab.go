package inspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
)

// Vocab is the two vocabularies of a checkpoint. They are never compared with each other.
type Vocab struct {
	Dir    string     `json:"dir"`
	Text   TextVocab  `json:"text"`
	Codec  CodecVocab `json:"codec"`
	Checks checks     `json:"checks"`
}

// TextVocab is the text tokenizer and the embedding of its tokens.
type TextVocab struct {
	Files  []string `json:"files"`   // of the tokenizer; none where the checkpoint carries none
	Pieces int      `json:"pieces"`  // entries of vocab.json
	Merges int      `json:"merges"`  //
	Added  int      `json:"added"`   // added tokens
	Size   int64    `json:"size"`    // highest id + 1
	Rows   int64    `json:"rows"`    // of the text embedding
	Kept   int64    `json:"kept"`    // rows of a pruned embedding; 0 where it has one for each id
	Unused int64    `json:"unused"`  // rows behind the last id: padding of the table
	Table  string   `json:"table"`   // key of the embedding
	InFile []int64  `json:"in_file"` // its shape in the file; null where it is missing
}

// CodecVocab is the ids of code 0, and what stands behind them in the same table.
type CodecVocab struct {
	Table     string  `json:"table"`
	Rows      int64   `json:"rows"`
	InFile    []int64 `json:"in_file"`
	Codes     int64   `json:"codes"` // ids 0 … Codes-1 are codes of codebook 0
	Control   []Named `json:"control"`
	Languages []Named `json:"languages"`
	Speakers  []Named `json:"speakers"`
	Others    int     `json:"other_codebooks"` // tables of the code predictor, Codes rows each
}

// Named is an id with its name.
type Named struct {
	Name string `json:"name"`
	ID   int32  `json:"id"`
}

// Vocab looks at both vocabularies. It reads JSON, merges.txt and headers only.
func (c *Checkpoint) Vocab() (*Vocab, error) {
	tok, err := readTokenizer(c.Dir)
	if err != nil {
		return nil, err
	}
	t, m := &c.Config.Talker, c.model
	v := &Vocab{Dir: c.Dir}
	v.Text = TextVocab{Files: []string{}, Rows: t.TextVocab, Table: m.TextEmbedding.W.Name, Kept: t.TextKept, InFile: c.tableShape(m.TextEmbedding)}
	v.Codec = CodecVocab{
		Table: m.CodecEmbedding.W.Name, Rows: t.Vocab, InFile: c.tableShape(m.CodecEmbedding), Codes: c.Config.Codebook(),
		Control: []Named{{"codec_pad_id", t.CodecPad}, {"codec_bos_id", t.CodecBos}, {"codec_eos_token_id", t.CodecEos},
			{"codec_think_id", t.Think}, {"codec_nothink_id", t.NoThink}, {"codec_think_bos_id", t.ThinkBos}, {"codec_think_eos_id", t.ThinkEos}},
		Languages: named(t.LanguageIDs), Speakers: named(t.SpeakerIDs), Others: len(m.Predictor.Embeddings),
	}
	if tok == nil {
		v.Checks.absent("text tokenizer", "no vocab.json and no tokenizer.json: a talker-only checkpoint")
	} else {
		v.Text.Files, v.Text.Pieces, v.Text.Merges, v.Text.Added = tok.Names, len(tok.Pieces), len(tok.Merges), len(tok.Added)
		c.checkTokenizer(v, tok)
	}
	c.checkTables(v)
	c.checkCodec(v)
	return v, c.checkSpeech(v)
}

// tableShape is the shape that an embedding's table has in the file, packed or not; nil where it is missing.
func (c *Checkpoint) tableShape(e *nn.Embedding) []int64 {
	info, bits, ok := c.packed(c.matrices[e.Path])
	if !ok {
		return c.infos[e.W.Name].Shape
	}
	if s, per := c.matrices[e.Path], 32/bits; info.Shape[1] == (s.In+per-1)/per {
		return []int64{info.Shape[0], s.In}
	}
	return info.Shape
}

// named sorts by id, then by name: two names may share an id.
func named(ids map[string]int32) []Named {
	out := []Named{}
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		out = append(out, Named{name, ids[name]})
	}
	slices.SortStableFunc(out, func(a, b Named) int { return int(a.ID) - int(b.ID) })
	return out
}

// Tables prints the view.
func (v *Vocab) Tables() []*report.Table {
	t := &report.Table{Title: v.Dir, Columns: []string{"vocabulary", "what", "number", "ids"}}
	if x := v.Text; len(x.Files) > 0 {
		t.Add("text", "pieces ("+strings.Join(x.Files, ", ")+")", count(int64(x.Pieces)), "")
		t.Add("text", "merges", count(int64(x.Merges)), "")
		t.Add("text", "added tokens", count(int64(x.Added)), "")
		t.Add("text", "ids", count(x.Size), fmt.Sprintf("0..%d", x.Size-1))
	}
	if v.Text.Kept > 0 {
		t.Add("text", "ids of "+v.Text.Table, count(v.Text.Rows), fmt.Sprintf("0..%d", v.Text.Rows-1))
		t.Add("text", "rows, pruned", count(v.Text.Kept), "those of "+talker.KeptIDs)
	} else {
		t.Add("text", "rows of "+v.Text.Table, count(v.Text.Rows), fmt.Sprintf("0..%d", v.Text.Rows-1))
	}
	if len(v.Text.Files) > 0 {
		t.Add("text", "unused rows", count(v.Text.Unused), "")
	}
	x := v.Codec
	t.Add("codec", "rows of "+x.Table, count(x.Rows), fmt.Sprintf("0..%d", x.Rows-1))
	t.Add("codec", "codes of codebook 0", count(x.Codes), fmt.Sprintf("0..%d", x.Codes-1))
	t.Add("codec", "control ids", len(x.Control), listNamed(x.Control))
	t.Add("codec", "languages", len(x.Languages), listNamed(x.Languages))
	t.Add("codec", "preset speakers", len(x.Speakers), listNamed(x.Speakers))
	t.Add("codec", "other codebooks, each", count(x.Codes), fmt.Sprintf("0..%d (%d tables)", x.Codes-1, x.Others))
	return []*report.Table{t, v.Checks.table()}
}

func listNamed(list []Named) string {
	var out []string
	for _, n := range list {
		out = append(out, fmt.Sprintf("%s %d", strings.TrimSuffix(strings.TrimPrefix(n.Name, "codec_"), "_id"), n.ID))
	}
	return strings.Join(out, ", ")
}
