package tts_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/text"
	"github.com/qakd/qakd/pkg/tts"
)

// quantized writes a packed checkpoint with tables in 8 bits.
func quantized(t *testing.T, dir, teacher string) {
	t.Helper()
	m, err := talker.Load(teacher, talker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	cfg := qat.DefaultConfig()
	cfg.Embeddings.Bits = 8
	if _, err := qat.Prepare(m, cfg); err != nil {
		t.Fatal(err)
	}
	if err := qat.Convert(m); err != nil {
		t.Fatal(err)
	}
	if _, err := qat.SaveCheckpoint(dir, m, qat.SaveOptions{Source: teacher}); err != nil {
		t.Fatal(err)
	}
}

// A pruned checkpoint, float or packed, says what it was pruned for just as before, and anything else in more tokens; ids
// that it lacks are refused.
func TestPrune(t *testing.T) {
	teacher := filepath.Join(fixture("tiny-f32"), "checkpoint")
	packed := filepath.Join(t.TempDir(), "packed")
	quantized(t, packed, teacher)
	tok, err := text.Load(teacher)
	if err != nil {
		t.Fatal(err)
	}
	selection := tok.Select()
	selection.Add("hello world")
	kept := selection.IDs()
	for _, src := range []string{teacher, packed} {
		dst := filepath.Join(t.TempDir(), "pruned")
		res, err := tts.Prune(dst, src, kept)
		if err != nil {
			t.Fatal(err)
		}
		if res.Kept != len(kept) || res.Vocabulary <= int64(len(kept)) || res.After >= res.Before {
			t.Errorf("%s: %+v, want fewer rows", src, res)
		}
		whole, pruned := open(t, src, tts.Options{Parts: teacher}), open(t, dst, tts.Options{Parts: teacher})
		if !slices.Equal(pruned.Config.Kept(), kept) || whole.Config.Kept() != nil {
			t.Errorf("%s: kept %v, want %v", src, pruned.Config.Kept(), kept)
		}
		speak := func(s *tts.Synthesizer, text string) []int32 {
			v, err := s.Clone(openGoldens(t, "tiny-f32").samples("ref_wav"), "hello")
			if err != nil {
				t.Fatal(err)
			}
			sound, err := s.Speak(context.Background(), tts.Line{ID: "a", Text: text, Voice: v}, greedy(s, 6), nil)
			if err != nil {
				t.Fatal(err)
			}
			return flat(sound.Codes)
		}
		if a, b := speak(whole, "hello world"), speak(pruned, "hello world"); !slices.Equal(a, b) {
			t.Errorf("%s: pruned, it draws %v, want %v", src, b, a)
		}
		speak(pruned, "今天很好, anything")

		lost := int32(0)
		for slices.Contains(kept, lost) {
			lost++
		}
		voice := talker.Voice{Vector: make([]float32, pruned.Config.Talker.Hidden)}
		_, err = talker.DecodingRows(pruned.Config, talker.Request{ID: "x", Text: []int32{lost}, Voice: &voice})
		if err == nil || !strings.Contains(err.Error(), "which the pruned text vocabulary of") {
			t.Errorf("%s: error %v, want that of an id without a row", src, err)
		}
		if _, err := tts.Prune(dst+"2", dst, kept); err == nil || !strings.Contains(err.Error(), "pruned already") {
			t.Errorf("%s: error %v, want that it is pruned already", src, err)
		}
		h, err := ckpt.HeaderOnly(dst)
		if err != nil {
			t.Fatal(err)
		}
		old, err := ckpt.HeaderOnly(src)
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Infos) != len(old.Infos)+1 || h.Bytes >= old.Bytes {
			t.Errorf("%s: %d tensors, %d bytes; want one more than %d, and fewer bytes than %d", src, len(h.Infos), h.Bytes, len(old.Infos), old.Bytes)
		}
	}
	for want, ids := range map[string][]int32{
		"want one above":            {5, 4},
		"which prompts are made of": {1, 2, 3},
	} {
		if _, err := tts.Prune(filepath.Join(t.TempDir(), "x"), teacher, ids); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
