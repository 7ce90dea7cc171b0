package distill

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/qakd/qakd/pkg/data"
)

// Check lays out every utterance in every layout that can be drawn for it, and reports the first that cannot be read; then
// every weight that no utterance has the parts for. It visits the whole set. References that are drawn anew in every epoch
// are those of the first.
func (m *Mix) Check() error {
	voices, languages := map[Voice]bool{}, map[bool]bool{}
	lacking := map[Voice]error{} // what the first utterance misses
	for i := range m.Len() {
		u, err := m.set.At(i)
		if err != nil {
			return err
		}
		vs, ls, err := m.options(i, u)
		if err != nil {
			return err
		}
		for _, w := range m.layouts.voices() {
			if lack := m.lacks(i, u, w.value); lack != nil && lacking[w.value] == nil {
				lacking[w.value] = fmt.Errorf("utterance %q: %w", u.ID, lack)
			}
		}
		for _, l := range ls {
			languages[l.value] = true
		}
		for _, v := range vs {
			voices[v.value] = true
			if err := m.readable(i, u, v.value); err != nil {
				return err
			}
		}
	}
	var errs []error
	idle := func(key string, weight float64, why error) {
		errs = append(errs, fmt.Errorf("distill: layouts.%s is %v, but none of %d utterances has the parts for it, want 0: %w", key, weight, m.Len(), why))
	}
	for _, w := range m.layouts.voices() {
		if w.weight > 0 && !voices[w.value] {
			idle(w.key, w.weight, lacking[w.value])
		}
	}
	if w := m.layouts.Language.Explicit; w > 0 && !languages[true] {
		idle("language.explicit", w, errNoLanguage)
	}
	return errors.Join(errs...)
}

// readable lays out utterance i with both kinds of text, where they are weighted. Its language is named even where no
// weight asks for it: one that the checkpoint does not know is a mistake.
func (m *Mix) readable(i int, u data.Utterance, v Voice) error {
	for _, text := range m.layouts.texts() {
		if text.weight == 0 {
			continue
		}
		dressed, err := m.dress(m.stream(0, u), i, u, Layout{v, text.value, true})
		if err != nil {
			return err
		}
		if _, err := Rows(m.cfg, dressed); err != nil {
			return err
		}
	}
	return nil
}

// Share is how many utterances have a layout.
type Share struct {
	Layout     Layout
	Utterances int
}

// Census counts the layouts that the first n utterances have in an epoch, most frequent first.
func (m *Mix) Census(epoch, n int) ([]Share, error) {
	count := map[Layout]int{}
	for i := range min(n, m.Len()) {
		u, err := m.In(epoch, i)
		if err != nil {
			return nil, err
		}
		count[LayoutOf(m.cfg, u)]++
	}
	return shares(count), nil
}

// Undrawn are the layouts with a weight that a census has not met.
func (m *Mix) Undrawn(census []Share) (out []Layout) {
	for _, v := range m.layouts.voices() {
		for _, t := range m.layouts.texts() {
			for _, l := range m.layouts.languages() {
				layout := Layout{v.value, t.value, l.value}
				has := func(s Share) bool { return s.Layout == layout }
				if v.weight > 0 && t.weight > 0 && l.weight > 0 && !slices.ContainsFunc(census, has) {
					out = append(out, layout)
				}
			}
		}
	}
	return out
}

func shares(count map[Layout]int) []Share {
	var out []Share
	for _, l := range slices.SortedFunc(maps.Keys(count), func(a, b Layout) int { return cmp.Compare(a.String(), b.String()) }) {
		out = append(out, Share{l, count[l]})
	}
	slices.SortStableFunc(out, func(a, b Share) int { return b.Utterances - a.Utterances })
	return out
}

var _ data.Epochs = (*Mix)(nil)
