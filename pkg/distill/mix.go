package distill

import (
	"errors"
	"fmt"
	"strings"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/talker"
)

// Mix is a set whose utterances are laid out by weight: each has only those parts left that its layout has a place for,
// as it is drawn from (seed, epoch, ID). It is a data.Epochs, so a training that resumes meets the same layouts; At, for
// measurements, has those of epoch 0.
type Mix struct {
	set     data.Set
	cfg     *talker.Config
	layouts Layouts
	seed    int64
	others  map[string][]int // by speaker, the utterances to take references from; nil without FromSpeaker
}

// NewMix lays out set for checkpoints like cfg. Weights that do not go with that kind of checkpoint are an error.
func NewMix(set data.Set, cfg *talker.Config, l Layouts, seed int64) (*Mix, error) {
	l, err := l.For(cfg)
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	m := &Mix{set: set, cfg: cfg, layouts: l, seed: seed}
	if l.InContext > 0 && l.References == FromSpeaker {
		return m, m.index()
	}
	return m, nil
}

// index lists the utterances of each speaker.
func (m *Mix) index() error {
	m.others = map[string][]int{}
	for i := range m.set.Len() {
		u, err := m.set.At(i)
		if err != nil {
			return err
		}
		if u.Speaker != "" {
			key := strings.ToLower(u.Speaker)
			m.others[key] = append(m.others[key], i)
		}
	}
	return nil
}

// Len is the number of utterances.
func (m *Mix) Len() int { return m.set.Len() }

// At is In of epoch 0.
func (m *Mix) At(i int) (data.Utterance, error) { return m.In(0, i) }

// In is utterance i in the layout of an epoch. An utterance that has the parts for none of the weighted layouts is an
// error.
func (m *Mix) In(epoch, i int) (data.Utterance, error) {
	u, err := m.set.At(i)
	if err != nil {
		return u, err
	}
	voices, languages, err := m.options(i, u)
	if err != nil {
		return u, err
	}
	r := m.stream(epoch, u)
	l := Layout{Voice: choose(r, voices), Streaming: choose(r, m.layouts.texts()), Explicit: choose(r, languages)}
	return m.dress(r, i, u, l)
}

// stream draws for u in an epoch.
func (m *Mix) stream(epoch int, u data.Utterance) *rng.Stream {
	return rng.New(m.seed, fmt.Sprintf("layout %d %s", epoch, u.ID))
}

// choose draws from weights, of which at least one is above 0.
func choose[T any](r *rng.Stream, from []weighted[T]) T {
	total := 0.0
	for _, w := range from {
		total += w.weight
	}
	at := r.Float64() * total
	var last T
	for _, w := range from {
		if w.weight == 0 {
			continue
		}
		if at < w.weight {
			return w.value
		}
		at -= w.weight
		last = w.value
	}
	return last // rounding left at a little over the sum
}

// options are the weighted voices and languages that utterance i has the parts for. None is an error that says what
// each misses.
func (m *Mix) options(i int, u data.Utterance) (voices []weighted[Voice], languages []weighted[bool], err error) {
	var missing []error
	for _, w := range m.layouts.voices() {
		if w.weight == 0 {
			continue
		}
		if err := m.lacks(i, u, w.value); err != nil {
			missing = append(missing, fmt.Errorf("layout %s: %w", w.key, err))
			continue
		}
		voices = append(voices, w)
	}
	for _, w := range m.layouts.languages() {
		if w.weight > 0 && (!w.value || named(u.Language)) {
			languages = append(languages, w)
		}
	}
	if len(languages) == 0 {
		missing = append(missing, fmt.Errorf("layout language.explicit: %w", errNoLanguage))
	}
	if len(voices) == 0 || len(languages) == 0 {
		return nil, nil, fmt.Errorf("distill: utterance %q fits no weighted layout: %s", u.ID, joined(missing))
	}
	return voices, languages, nil
}

// joined is one line of what errors.Join made.
func joined(errs []error) string {
	return strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; ")
}

// lacks is what utterance i misses for a voice, nil for nothing.
func (m *Mix) lacks(i int, u data.Utterance, v Voice) error {
	switch v {
	case XVector:
		if len(u.Vector) == 0 {
			return errNoVector
		}
	case InContext:
		if len(u.Vector) == 0 {
			return errNoVector
		}
		own := hasReference(u)
		if m.layouts.References != FromSpeaker && !own {
			return errNoReference
		}
		if m.layouts.References == FromSpeaker && !own && m.candidates(i, u) == 0 {
			return errNoOther
		}
	case Preset:
		if _, err := m.cfg.PresetVoice(u.Speaker); err != nil {
			return err
		}
	case Design:
		if len(u.Instruct) == 0 {
			return errNoInstruct
		}
	}
	return nil
}

// candidates is the number of other utterances of u's speaker.
func (m *Mix) candidates(i int, u data.Utterance) int {
	return max(0, len(m.others[strings.ToLower(u.Speaker)])-1)
}

// dress leaves u the parts that go with the layout.
func (m *Mix) dress(r *rng.Stream, i int, u data.Utterance, l Layout) (data.Utterance, error) {
	u.Streaming = l.Streaming
	if !l.Explicit {
		u.Language = "auto"
	}
	switch {
	case l.Voice != InContext:
		u.RefText, u.RefCodes = nil, nil
	case m.candidates(i, u) > 0:
		of := m.others[strings.ToLower(u.Speaker)]
		k := r.IntN(len(of) - 1)
		if of[k] >= i { // i itself is left out
			k++
		}
		other, err := m.set.At(of[k])
		if err != nil {
			return u, err
		}
		u.RefText, u.RefCodes = other.Text, other.Codes
	}
	return u, nil
}
