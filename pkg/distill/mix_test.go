package distill_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/talker"
)

func in(t *testing.T, m *distill.Mix, epoch, i int) data.Utterance {
	t.Helper()
	u, err := m.In(epoch, i)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Over many epochs each layout is as frequent as its weights say; voice, text and language are independent.
func TestFrequencies(t *testing.T) {
	m := cloner(t, 1)
	set := clones(8)
	for i := range set {
		set[i].Language = "english"
	}
	l := distill.Layouts{
		XVector: 3, InContext: 1, Text: distill.TextWeights{Streaming: 1, Whole: 4}, Language: distill.LanguageWeights{Auto: 0.5, Explicit: 0.5},
	}
	x := mixed(t, m, set, l)
	const epochs = 1000
	n := float64(epochs * len(set))
	count := map[distill.Layout]float64{}
	for e := range epochs {
		for i := range set {
			count[distill.LayoutOf(m.Config, in(t, x, e, i))]++
		}
	}
	for _, v := range []struct {
		voice distill.Voice
		p     float64
	}{{distill.XVector, 0.75}, {distill.InContext, 0.25}} {
		for streaming, q := range map[bool]float64{true: 0.2, false: 0.8} {
			for _, explicit := range []bool{true, false} {
				layout := distill.Layout{Voice: v.voice, Streaming: streaming, Explicit: explicit}
				p := v.p * q / 2
				if sigma := math.Sqrt(p * (1 - p) / n); math.Abs(count[layout]/n-p) > 4*sigma {
					t.Errorf("%v: share %.4f, want %.4f ± %.4f", layout, count[layout]/n, p, 4*sigma)
				}
			}
		}
	}
}

// A layout is a function of seed, epoch and ID: not of the place in the set, nor of what was asked before.
func TestLayoutIsAFunctionOfSeedEpochAndID(t *testing.T) {
	m := cloner(t, 1)
	set := clones(30)
	x := mixed(t, m, set, everyClone())
	back := slices.Clone(set)
	slices.Reverse(back)
	y := mixed(t, m, back, everyClone())
	changed := 0
	for _, epoch := range []int{3, 0, 7} {
		for i := range set {
			a, b := in(t, x, epoch, i), in(t, y, epoch, len(set)-1-i)
			if d := cmp.Diff(a, b); d != "" {
				t.Fatalf("epoch %d: %s", epoch, d)
			}
			if distill.LayoutOf(m.Config, a) != distill.LayoutOf(m.Config, in(t, x, epoch+1, i)) {
				changed++
			}
		}
	}
	if changed < 45 { // of 90; 7 of 8 change by chance
		t.Errorf("%d of 90 layouts change from one epoch to the next", changed)
	}
	other, err := distill.NewMix(set, m.Config, everyClone(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(dressed(t, x), dressed(t, other)) {
		t.Error("another seed, the same layouts")
	}
}

// A layout takes what it has a place for and nothing else.
func TestDress(t *testing.T) {
	m := cloner(t, 1)
	set := clones(40)
	x := mixed(t, m, set, everyClone())
	for i, raw := range set {
		u := in(t, x, 0, i)
		want := raw
		want.Streaming = u.Streaming
		if l := distill.LayoutOf(m.Config, u); l.Voice == distill.XVector {
			want.RefText, want.RefCodes = nil, nil
		}
		if u.Language != raw.Language {
			want.Language = "auto"
		}
		if d := cmp.Diff(want, u); d != "" {
			t.Errorf("%s: %s", raw.ID, d)
		}
	}
}

// References of the speaker's other utterances: never the utterance itself, all of the others in turn, and the row's own
// where the speaker has but one.
func TestReferencesOfTheSpeaker(t *testing.T) {
	m := cloner(t, 1)
	set := clones(7)
	for i := range set {
		set[i].Speaker, set[i].RefText, set[i].RefCodes = []string{"ada", "Ben"}[i%2], nil, nil
	}
	own := clones(1)[0]
	own.ID, own.Speaker = "alone", "cleo"
	set = append(set, own)
	l := distill.Layouts{InContext: 1, References: distill.FromSpeaker}
	x := mixed(t, m, set, l)
	if err := x.Check(); err != nil {
		t.Fatal(err)
	}
	for i, u := range set[:7] {
		taken := map[string]bool{}
		for e := range 60 {
			got := in(t, x, e, i)
			k := slices.IndexFunc(set, func(o data.Utterance) bool { return cmp.Equal(o.Codes, got.RefCodes) && cmp.Equal(o.Text, got.RefText) })
			if k < 0 || k == i || set[k].Speaker != u.Speaker {
				t.Fatalf("%s has the reference of utterance %d", u.ID, k)
			}
			taken[set[k].ID] = true
		}
		if others := 3 - i%2; len(taken) != others {
			t.Errorf("%s takes references from %v, want all %d others", u.ID, slices.Collect(maps.Keys(taken)), others)
		}
	}
	if u := in(t, x, 5, 7); !cmp.Equal(u.RefCodes, own.RefCodes) {
		t.Errorf("the only utterance of a speaker has reference %v, want its own", u.RefCodes)
	}
}

// Without any weight the layouts are what the reference implementation does by default.
func TestDefaultLayouts(t *testing.T) {
	for kind, k := range kinds(t) {
		x := mixed(t, k.model, spoken(k.model.Config, 5), distill.Layouts{})
		shares, err := x.Census(0, x.Len())
		want := map[string]string{
			talker.Base: "xvector, streaming, auto", talker.CustomVoice: "preset, whole, auto", talker.VoiceDesign: "design, whole, auto",
		}[kind]
		if err != nil || len(shares) != 1 || shares[0].Layout.String() != want || shares[0].Utterances != 5 {
			t.Errorf("%s: %v, %v; want 5 of %s", kind, shares, err, want)
		}
	}
}

// An utterance only gets what it has: one without reference, or without language, is laid out otherwise.
func TestOptionsOfAnUtterance(t *testing.T) {
	m := cloner(t, 1)
	set := clones(2)
	set[0].RefCodes, set[0].Language = nil, ""
	x := mixed(t, m, set, everyClone())
	for e := range 50 {
		if l := distill.LayoutOf(m.Config, in(t, x, e, 0)); l.Voice != distill.XVector || l.Explicit {
			t.Fatalf("epoch %d: %v of an utterance without reference and language", e, l)
		}
	}
}

func TestMixErrors(t *testing.T) {
	base := cloner(t, 1).Config
	preset, design := *model(t, 1).Config, *base
	design.Type = talker.VoiceDesign
	small := preset
	small.Size = "0b6"
	bare := func(edit func(u *data.Utterance)) data.List {
		l := clones(3)
		for i := range l {
			edit(&l[i])
		}
		return l
	}
	tests := []struct {
		name    string
		cfg     *talker.Config
		set     data.List
		layouts distill.Layouts
		want    string
	}{
		{"kind", base, clones(1), distill.Layouts{Preset: 1, Design: 2}, `distill: layouts.preset is 1, want 0: a "base" checkpoint has the voices ["xvector" "in_context"]
layouts.design is 2, want 0: a "base" checkpoint has the voices ["xvector" "in_context"]`},
		{"values", base, clones(1), distill.Layouts{XVector: -1, Text: distill.TextWeights{Whole: math.NaN()},
			Language: distill.LanguageWeights{Explicit: math.Inf(1)}, References: "dog"},
			`distill: layouts.xvector is -1, want a finite number of at least 0
layouts.text.whole is NaN, want a finite number of at least 0
layouts.language.explicit is +Inf, want a finite number of at least 0
layouts.references is "dog", want one of: row, speaker`},
		{"no vector", base, bare(func(u *data.Utterance) { u.Vector = nil }), everyClone(),
			`distill: utterance "u0" fits no weighted layout: layout xvector: no speaker_vector, want the voice to clone (examples/prepare makes it from ref_audio); ` +
				`layout in_context: no speaker_vector, want the voice to clone (examples/prepare makes it from ref_audio)`},
		{"nothing for two weights", base, bare(func(u *data.Utterance) { u.RefText, u.Language = nil, "auto" }), everyClone(),
			`distill: layouts.in_context is 1, but none of 3 utterances has the parts for it, want 0: utterance "u0": no ref_audio_codes or no ref_text_ids, want both (examples/prepare makes them from ref_audio and ref_text)
distill: layouts.language.explicit is 1, but none of 3 utterances has the parts for it, want 0: its language is auto, want one to name`},
		{"no other utterance", base, bare(func(u *data.Utterance) { u.RefText, u.Speaker = nil, u.ID }), distill.Layouts{InContext: 1, References: distill.FromSpeaker},
			`distill: utterance "u0" fits no weighted layout: layout in_context: no other utterance of its speaker, and no ref_audio_codes and ref_text_ids of its own`},
		{"no language", base, bare(func(u *data.Utterance) { u.Language = "Auto" }), distill.Layouts{Language: distill.LanguageWeights{Explicit: 1}},
			`distill: utterance "u0" fits no weighted layout: layout language.explicit: its language is auto, want one to name`},
		{"unknown language that no weight asks for", base, bare(func(u *data.Utterance) { u.Language = "klingon" }), distill.Layouts{},
			`talker: request "u0": language "klingon" is not known, want auto or one of ["english"]`},
		{"unknown speaker", &preset, bare(func(u *data.Utterance) { u.Speaker = "zoe" }), distill.Layouts{},
			`distill: utterance "u0" fits no weighted layout: layout preset: speaker "zoe" is not in spk_id, want one of ["ada" "ben"]`},
		{"instruction to a small model", &small, bare(func(u *data.Utterance) { u.Instruct = []int32{1} }), distill.Layouts{},
			`talker: request "u0": an instruction is given, but a "custom_voice" checkpoint wants none at size "0b6": only the large model follows instructions`},
		{"no instruction", &design, clones(1), distill.Layouts{},
			`distill: utterance "u0" fits no weighted layout: layout design: no instruct_ids, want an instruction that describes the voice`},
		{"short vector", base, bare(func(u *data.Utterance) { u.Vector = u.Vector[:3] }), distill.Layouts{},
			`data: utterance "u0": speaker_vector has 3 numbers, want 16`},
		{"code of a reference", base, bare(func(u *data.Utterance) { u.RefCodes = [][]int32{{0, 0, 0, 8}} }), everyClone(),
			`data: utterance "u0": ref_audio_codes[0][3] is 8, want 0 … 7`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x, err := distill.NewMix(tt.set, tt.cfg, tt.layouts, 1)
			if err == nil {
				err = x.Check()
			}
			if err == nil || err.Error() != tt.want {
				t.Errorf("error is\n%v, want\n%s", err, tt.want)
			}
		})
	}
	x := mixed(t, cloner(t, 1), bare(func(u *data.Utterance) { u.Vector = nil }), distill.Layouts{})
	if _, err := x.At(0); err == nil || !strings.Contains(err.Error(), "no speaker_vector") {
		t.Errorf("an utterance that fits nothing gives %v", err)
	}
	if _, err := x.At(3); err == nil {
		t.Errorf("utterance 3 of 3 is no error")
	}
}

// Whoever passes utterances without a mix gets them as they stand, with one error for what a clone needs.
func TestAsTheyStand(t *testing.T) {
	cfg := cloner(t, 1).Config
	u := clones(1)[0]
	if l := fmt.Sprint(distill.LayoutOf(cfg, u)); l != "in_context, whole, auto" {
		t.Errorf("layout %s", l)
	}
	u.Vector = nil
	want := `distill: utterance "u0": no speaker_vector, want the voice to clone (examples/prepare makes it from ref_audio)`
	if _, err := distill.Rows(cfg, u); err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}
