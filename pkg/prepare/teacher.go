package prepare

import (
	"context"
	"fmt"
	"strings"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/tts"
)

// Teacher is the Maker of rows whose text a teacher speaks.
type Teacher struct {
	Synthesizer *tts.Synthesizer
	Dir         string          // that the paths of rows start from
	Sampling    talker.Sampling // its seed and the row's ID decide the draws
	Layout      tts.Layout      // how the texts are shown

	voices voices
	lines  []tts.Line // of the checked rows of the batch
}

// Check lays the row out as a prompt.
func (t *Teacher) Check(row *data.Utterance) error {
	if row.From.Audio != "" || len(row.Codes) > 0 {
		return fmt.Errorf(`the row has speech already, want a text alone`)
	}
	if row.From.Text == "" {
		return fmt.Errorf(`key "text" is missing, want what is to be said`)
	}
	l := t.Synthesizer.Listener
	if err := tokenize(l, row); err != nil {
		return err
	}
	if err := t.voices.clone(l, t.Dir, row); err != nil {
		return err
	}
	line := tts.Line{ID: row.ID, Text: row.From.Text, Language: row.Language, Speaker: row.Speaker, Instruct: row.From.Instruct, Layout: t.Layout}
	if l.Config.Type == talker.Base {
		line.Speaker = "" // a name for the reader of the file; the voice is cloned
		line.Voice = &tts.Voice{Vector: row.Vector}
		if len(row.RefCodes) > 0 {
			line.Voice.Reference = &talker.Reference{Text: row.RefText, Codes: row.RefCodes}
		}
	}
	r, err := t.Synthesizer.Request(line)
	if err != nil {
		return plain(err, row.ID)
	}
	p, err := talker.DecodingRows(l.Config, r)
	if err != nil {
		return plain(err, row.ID)
	}
	if n, most := len(p.Rows), l.Config.Talker.MaxPositions; most > 0 && int64(n) >= most {
		return fmt.Errorf("a prompt of %d rows leaves no room for a frame, want less than max_position_embeddings %d", n, most)
	}
	t.lines = append(t.lines, line)
	return nil
}

// plain takes the row's name out of a reason, which stands beside it.
func plain(err error, id string) error {
	for _, in := range []string{fmt.Sprintf("tts: line %q: ", id), fmt.Sprintf("talker: request %q: ", id)} {
		if rest, ok := strings.CutPrefix(err.Error(), in); ok {
			return fmt.Errorf("%s", rest)
		}
	}
	return err
}

// Make draws the codes.
func (t *Teacher) Make(ctx context.Context, rows []data.Utterance) ([]error, error) {
	lines := t.lines
	t.lines = nil
	speech, err := t.Synthesizer.Draw(ctx, lines, t.Sampling)
	if err != nil {
		return nil, err
	}
	skip := make([]error, len(rows))
	for i, s := range speech {
		rows[i].Codes = s.Codes
		switch {
		case !s.Ended:
			skip[i] = fmt.Errorf("the teacher did not end within %d frames", len(s.Codes))
		case len(s.Codes) == 0:
			skip[i] = fmt.Errorf("the teacher said nothing")
		}
	}
	return skip, nil
}

// Identity is the checkpoint and the settings.
func (t *Teacher) Identity() (string, error) {
	return identity(t.Synthesizer.Listener, map[string]any{"from": "teacher", "dir": t.Dir, "sampling": t.Sampling,
		"seed": t.Sampling.Seed, "layout": t.Layout})
}
