package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/report"
)

// counted is how many utterances of a generated split are looked at: they are all of one kind.
const counted = 1024

// Mixed is how the prompts of a split are laid out, in the first epoch.
type Mixed struct {
	Data       string  `json:"data"`
	Utterances int     `json:"utterances"`     // looked at
	Note       string  `json:"note,omitempty"` // why there are none
	Layouts    []Share `json:"layouts,omitempty"`
}

// Share is how many utterances have a layout.
type Share struct {
	Voice      string  `json:"voice"`
	Text       string  `json:"text"`
	Language   string  `json:"language"`
	Utterances int     `json:"utterances"`
	Percent    float64 `json:"percent"`
}

// mixes lays out all splits. A file that is not there is noted: the plan of an experiment can be read before its data are
// made. Any other fault of the data is an error.
func (r *Run) mixes() (out []Mixed, err error) {
	err = r.readData()
	if errors.Is(err, fs.ErrNotExist) {
		return []Mixed{{Data: "all", Note: err.Error()}}, nil
	}
	if err != nil {
		return nil, err
	}
	for _, split := range []demo.Split{demo.Calibration, demo.Distillation, demo.Selection, demo.Evaluation} {
		m, err := r.mix(split)
		if err != nil {
			return nil, err
		}
		n := r.used(m, split)
		if r.Experiment.Model == "" {
			n = min(n, counted)
		}
		shares, err := m.Census(0, n)
		if err != nil {
			return nil, err
		}
		mixed := Mixed{Data: split.String(), Utterances: n}
		for _, s := range shares {
			l := s.Layout
			mixed.Layouts = append(mixed.Layouts, Share{string(l.Voice), l.Text(), l.Language(), s.Utterances, 100 * float64(s.Utterances) / float64(n)})
		}
		out = append(out, mixed)
	}
	return out, nil
}

// tellLayouts logs which layouts the calibration utterances are in, and which weighted ones none of them is in: what
// statistics know nothing of, the student may do badly.
func (r *Run) tellLayouts() error {
	m, err := r.mix(demo.Calibration)
	if err != nil {
		return err
	}
	n := r.used(m, demo.Calibration)
	census, err := m.Census(0, n)
	if err != nil {
		return err
	}
	var drawn, undrawn []string
	for _, s := range census {
		drawn = append(drawn, fmt.Sprintf("%d %v", s.Utterances, s.Layout))
	}
	for _, l := range m.Undrawn(census) {
		undrawn = append(undrawn, l.String())
	}
	r.logf("calibrate: layouts of the %d utterances: %s", n, strings.Join(drawn, "; "))
	if len(undrawn) > 0 {
		r.logf("calibrate: warning: none of them has a layout that distill.layouts weighs: %s; raise calib.utterances", strings.Join(undrawn, "; "))
	}
	return nil
}

// MixTable lists how many utterances have which layout.
func MixTable(mixes []Mixed) *report.Table {
	t := &report.Table{
		Title:   fmt.Sprintf("layouts of the prompts in the first epoch (of the demo, at most %d utterances a row)", counted),
		Columns: []string{"data", "voice", "text", "language", "utterances", "share %"},
	}
	for _, m := range mixes {
		if m.Note != "" {
			t.Add(m.Data, m.Note, "", "", "", "")
		}
		for _, s := range m.Layouts {
			t.Add(m.Data, s.Voice, s.Text, s.Language, s.Utterances, s.Percent)
		}
	}
	return t
}
