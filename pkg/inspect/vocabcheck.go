package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/text"
)

// newline is how byte-level BPE writes "\n".
const newline = "Ċ"

// checkTokenizer holds the text tokenizer against itself and against the configuration.
func (c *Checkpoint) checkTokenizer(v *Vocab, tok *text.Files) {
	byID, clashes := tokens(tok)
	var missing []int64
	for id := range byID {
		v.Text.Size = max(v.Text.Size, id+1)
	}
	for id := range v.Text.Size {
		if _, ok := byID[id]; !ok && len(missing) < 5 {
			missing = append(missing, id)
		}
	}
	v.Checks.want(len(clashes) == 0 && len(missing) == 0, "text ids",
		fmt.Sprintf("%s pieces and %d added tokens have the ids 0..%d, each once", count(int64(len(tok.Pieces))), len(tok.Added), v.Text.Size-1),
		fmt.Sprintf("ids with two tokens: %v, ids below %d without one: %v", clashes, v.Text.Size, missing))

	var broken []string
	for rank, m := range tok.Merges {
		for _, piece := range []string{m.Left, m.Right, m.Left + m.Right} {
			if _, ok := tok.Pieces[piece]; !ok && len(broken) < 5 {
				broken = append(broken, fmt.Sprintf("merge %d: %q", rank, piece))
			}
		}
	}
	v.Checks.want(len(broken) == 0, "merges", fmt.Sprintf("%s, each joins two pieces to a third one", count(int64(len(tok.Merges)))),
		"pieces that vocab.json lacks: "+strings.Join(broken, ", "))

	v.Text.Unused = max(0, v.Text.Rows-v.Text.Size)
	v.Checks.want(v.Text.Size <= v.Text.Rows, "text rows",
		fmt.Sprintf("%s ids fit into %s rows; the last %s are padding", count(v.Text.Size), count(v.Text.Rows), count(v.Text.Unused)),
		fmt.Sprintf("%s ids, but the text embedding has %s rows", count(v.Text.Size), count(v.Text.Rows)))

	var wrong []string
	for _, x := range c.promptTokens() {
		if got := byID[int64(x.ID)]; got != x.Name {
			wrong = append(wrong, fmt.Sprintf("id %d is %q, want %q", x.ID, got, x.Name))
		}
	}
	v.Checks.want(len(wrong) == 0, "prompt ids", "the ids that the prompt is made of name the right tokens", strings.Join(wrong, "; "))
}

// promptTokens are the text ids that prompts are made of, with the tokens that they should be.
func (c *Checkpoint) promptTokens() []Named {
	cfg := c.Config
	role := cfg.Role()
	return []Named{{"<|im_start|>", role[0]}, {"assistant", role[1]}, {newline, role[2]}, {"<|im_end|>", cfg.ImEnd},
		{"<tts_pad>", cfg.PadText}, {"<tts_text_bos>", cfg.BosText}, {"<tts_text_eod>", cfg.EosText}}
}

// checkTables holds tables and heads in the file against the configuration.
func (c *Checkpoint) checkTables(v *Vocab) {
	m := c.model
	same := func(what string, tables ...*nn.Embedding) {
		var wrong []string
		want := tables[0].W.Shape
		for _, e := range tables {
			if have := c.tableShape(e); !slices.Equal(have, want) {
				wrong = append(wrong, fmt.Sprintf("%s is %v, want %v", e.W.Name, have, want))
			}
		}
		detail := fmt.Sprintf("%s in the file, as config.json says", shape(want))
		if len(tables) > 1 {
			detail = fmt.Sprintf("%d tables, each %s", len(tables), detail)
		}
		v.Checks.want(len(wrong) == 0, what, detail, strings.Join(wrong, "; "))
	}
	same("text table", m.TextEmbedding)
	same("codec table", m.CodecEmbedding)
	same("predictor tables", m.Predictor.Embeddings...)
	var heads []string
	for _, s := range append(slices.Clone(m.Predictor.Heads), m.CodecHead) {
		if l := c.projection(s); l.DType == "missing" {
			heads = append(heads, s.Path)
		}
	}
	v.Checks.want(len(heads) == 0, "heads", fmt.Sprintf("%s rows for code 0, control ids included; %s for each of codes 1..%d",
		count(m.CodecHead.Out), count(m.Predictor.Heads[0].Out), len(m.Predictor.Heads)), "missing: "+strings.Join(heads, ", "))
}

// checkCodec looks for ids that mean two things.
func (c *Checkpoint) checkCodec(v *Vocab) {
	x := &v.Codec
	uses := map[int32][]string{}
	var wrong []string
	for kind, list := range [][]Named{x.Control, x.Languages, x.Speakers} {
		here := map[int32]bool{}
		for _, n := range list {
			if int64(n.ID) < x.Codes {
				wrong = append(wrong, fmt.Sprintf("%s is %d, a code", n.Name, n.ID))
			}
			if kind == 0 || !here[n.ID] { // two names of one speaker are no clash
				uses[n.ID] = append(uses[n.ID], n.Name)
			}
			here[n.ID] = true
		}
	}
	for id, names := range uses {
		if len(names) > 1 {
			wrong = append(wrong, fmt.Sprintf("id %d is %s", id, strings.Join(names, " and ")))
		}
	}
	slices.Sort(wrong)
	v.Checks.want(len(wrong) == 0, "codec ids", fmt.Sprintf("%d control ids, %d languages and %d speakers stand above the codes, no two alike",
		len(x.Control), len(x.Languages), len(x.Speakers)), strings.Join(wrong, "; "))
	free := c.Config.Talker.Suppressed(x.Codes - 1)
	v.Checks.want(!free, "codes", fmt.Sprintf("all %s codes of codebook 0 can be drawn", count(x.Codes)),
		fmt.Sprintf("code %d lies among the ids that decoding never draws", x.Codes-1))
}

// checkSpeech holds the codec that turns codes into sound, where the checkpoint has one, against the codebooks.
func (c *Checkpoint) checkSpeech(v *Vocab) error {
	path := filepath.Join(c.Dir, "speech_tokenizer", "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		v.Checks.absent("speech tokenizer", "no folder speech_tokenizer: codes cannot be turned into sound with this folder alone")
		return nil
	}
	if err != nil {
		return err
	}
	var cfg struct {
		Decoder struct {
			Codes     int64 `json:"codebook_size"`
			Codebooks int   `json:"num_quantizers"`
		} `json:"decoder_config"`
	}
	if err := json.Unmarshal(data, &cfg); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	d, groups := cfg.Decoder, c.Config.Groups()
	v.Checks.want(d.Codes == v.Codec.Codes && d.Codebooks == groups, "speech tokenizer",
		fmt.Sprintf("%d codebooks of %s codes, as the talker has", d.Codebooks, count(d.Codes)),
		fmt.Sprintf("%d codebooks of %s codes, the talker has %d of %s", d.Codebooks, count(d.Codes), groups, count(v.Codec.Codes)))
	return nil
}
