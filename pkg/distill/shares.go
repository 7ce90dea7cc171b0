package distill

import (
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/train"
)

// trait is something that utterances of a mix may have or not, to be logged.
type trait struct {
	name string
	of   func(Layout) bool
}

// traits are those in which the layouts with a weight differ; none where all are alike.
func (l *Layouts) traits() (out []trait) {
	weighted := 0
	for _, v := range l.voices() {
		if v.weight > 0 {
			weighted++
		}
	}
	for _, v := range l.voices() {
		if v.weight > 0 && weighted > 1 {
			out = append(out, trait{"share_" + v.key, func(l Layout) bool { return l.Voice == v.value }})
		}
	}
	if l.Text.Whole > 0 && l.Text.Streaming > 0 {
		out = append(out, trait{"share_streaming", func(l Layout) bool { return l.Streaming }})
	}
	if l.Language.Auto > 0 && l.Language.Explicit > 0 {
		out = append(out, trait{"share_explicit", func(l Layout) bool { return l.Explicit }})
	}
	return out
}

// shares are terms without weight: which part of the step's utterances has each trait.
func (o *Objective) shares(c *nn.Context, l *forced, total train.Counts) (terms []train.Term) {
	for _, t := range o.traits {
		n := float32(0)
		for _, layout := range l.layouts {
			if t.of(layout) {
				n++
			}
		}
		terms = append(terms, mean(c, t.name, 0, c.FromFloats([]float32{n}, 1), float64(total.Utterances)))
	}
	return terms
}
