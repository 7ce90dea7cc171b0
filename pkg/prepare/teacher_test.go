package prepare_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/prepare"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/tts"
)

// A teacher's draws depend on seed and ID, not on the batch; what it does not end is skipped.
func TestTeacher(t *testing.T) {
	s, err := tts.OpenSilent(custom, tts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	dir := t.TempDir()
	var list []map[string]any
	for i := range 6 {
		list = append(list, map[string]any{"id": fmt.Sprintf("t%d", i), "text": fmt.Sprint("hello ", i), "speaker": "Ryan"})
	}
	list = append(list, map[string]any{"id": "x", "text": "hello", "speaker": "nobody"})
	in := rows(t, dir, list...)
	speak := func(name string, batch int, seed int64) (data.List, *prepare.Summary) {
		sampling := s.Sampling
		sampling.Seed, sampling.MaxNewTokens = seed, 14
		j := job(in, filepath.Join(dir, name), &prepare.Teacher{Synthesizer: s, Sampling: sampling})
		j.Batch = batch
		sum, err := j.Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return read(t, j.Out), sum
	}
	a, sum := speak("a.jsonl", 6, 1)
	b, _ := speak("b.jsonl", 1, 1)
	c, _ := speak("c.jsonl", 6, 2)
	same := func(x, y data.List) bool {
		return slices.EqualFunc(x, y, func(x, y data.Utterance) bool {
			return x.ID == y.ID && slices.EqualFunc(x.Codes, y.Codes, slices.Equal)
		})
	}
	if !same(a, b) {
		t.Error("the batch changes what the teacher says")
	}
	if same(a, c) {
		t.Error("the seed does not change what the teacher says")
	}
	var unfinished, unknown int
	for _, skip := range sum.Skipped {
		switch {
		case strings.Contains(skip.Reason, "did not end within 13 frames"):
			unfinished++
		case strings.HasPrefix(skip.Reason, `speaker "nobody" is not in spk_id`):
			unknown++
		default:
			t.Errorf("skipped for %q", skip.Reason)
		}
	}
	if len(a)+unfinished != 6 || unknown != 1 {
		t.Errorf("%d utterances, %d unfinished, %d without voice of 6 and 1", len(a), unfinished, unknown)
	}
	if table := sum.Reasons(); len(table.Rows) > 2 {
		t.Errorf("%d kinds of reasons, want at most 2: %v", len(table.Rows), table.Rows)
	}
}

// An interruption in the middle of a batch loses that batch alone, and leaves nothing when it is the first.
func TestTeacherInterrupted(t *testing.T) {
	s, err := tts.OpenSilent(custom, tts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	dir := t.TempDir()
	var list []map[string]any
	for i := range 4 {
		list = append(list, map[string]any{"id": fmt.Sprint("t", i), "text": "hello", "speaker": "Ryan"})
	}
	in, out := rows(t, dir, list...), filepath.Join(dir, "out.jsonl")
	for at, want := range map[int]string{1: "before an utterance was made", 2: "-resume goes on after row 2 of 4"} {
		ctx, cancel := context.WithCancel(context.Background())
		m := &prepare.Teacher{Synthesizer: s, Sampling: s.Sampling}
		_, err := job(in, out, &interrupted{m, at, cancel}).Run(ctx)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) {
			t.Errorf("batch %d: %v, want %q", at, err, want)
		}
		switch _, err := os.Stat(out + ".partial"); {
		case at == 1 && !errors.Is(err, os.ErrNotExist):
			t.Errorf("nothing was made, but a file is left: %v", err)
		case at == 2:
			if err := os.Remove(out + ".partial"); err != nil {
				t.Error(err)
			}
		}
	}
}

// A prompt that fills all positions is skipped by itself: as one of a batch it would end the work.
func TestTeacherWithoutRoom(t *testing.T) {
	s, err := tts.OpenSilent(custom, tts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	r, err := s.Request(tts.Line{Text: "hello hello", Speaker: "ryan"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := talker.DecodingRows(s.Config, r)
	if err != nil {
		t.Fatal(err)
	}
	s.Config.Talker.MaxPositions = int64(len(p.Rows))
	dir := t.TempDir()
	in := rows(t, dir, map[string]any{"id": "long", "text": "hello hello", "speaker": "ryan"}, map[string]any{"text": "h", "speaker": "ryan"})
	m := &prepare.Teacher{Synthesizer: s, Sampling: s.Sampling}
	sum, err := job(in, filepath.Join(dir, "out.jsonl"), m).Run(context.Background())
	if sum == nil || len(sum.Skipped) == 0 || sum.Skipped[0].ID != "long" || !strings.Contains(sum.Skipped[0].Reason, "max_position_embeddings") {
		t.Errorf("summary %+v, error %v; want the first row skipped", sum, err)
	}
}
