package talker

import (
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

func scalar(t *testing.T, x *ts.Tensor) float64 {
	t.Helper()
	v, err := tensor.Scalar(x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// utterances is a batch of two, of 3 and 1 frames, for a checkpoint with 4 groups.
func utterances(t *testing.T, cfg *Config) *Batch {
	t.Helper()
	var seqs []Sequence
	for _, u := range []data.Utterance{
		{ID: "a", Text: []int32{40, 41}, Speaker: "Ryan", Codes: [][]int32{{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}}},
		{ID: "b", Text: []int32{42}, Speaker: "serena", Codes: [][]int32{{13, 14, 15, 16}}},
	} {
		s, err := TrainingRows(cfg, u)
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, s)
	}
	b, err := Collate(seqs, PadRight)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func shardedConfig(t *testing.T) *Config {
	t.Helper()
	cfg, err := ReadConfig("testdata/tiny-sharded/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Row numbers by hand: 8 + body + 2 rows before the first frame, then the frames, then the end.
func TestTrainingRows(t *testing.T) {
	cfg := shardedConfig(t)
	b := utterances(t, cfg)
	if b.B != 2 || b.T != 16 { // 8 + 2 + 2 + 3 + 1
		t.Fatalf("batch [%d,%d], want [2,16]", b.B, b.T)
	}
	eos := int64(cfg.Talker.CodecEos)
	for _, tt := range []struct {
		name      string
		got, want []int64
	}{
		{"target rows", b.TargetRows(), []int64{11, 12, 13, 14, 16 + 10, 16 + 11}},
		{"targets", b.Targets(), []int64{1, 5, 9, eos, 13, eos}},
		{"condition rows", b.ConditionRows(), []int64{11, 12, 13, 16 + 10}},
		{"frame codes", b.FrameCodes(), []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
		{"text of a", b.Text[:10], []int64{421, 263, 198, 448, 448, 448, 448, 449, 40, 41}},
		{"codec of a", b.Codec[:10], []int64{-1, -1, -1, int64(cfg.Talker.NoThink), int64(cfg.Talker.ThinkBos), int64(cfg.Talker.ThinkEos),
			int64(cfg.Talker.SpeakerIDs["ryan"]), int64(cfg.Talker.CodecPad), int64(cfg.Talker.CodecPad), int64(cfg.Talker.CodecPad)}},
		{"padding of b", b.Mask[16+13:], []int64{0, 0, 0}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	if b.Tokens() != 16+13 {
		t.Errorf("%d real rows, want 29", b.Tokens())
	}
}

func TestTrainingRowsErrors(t *testing.T) {
	cfg := shardedConfig(t)
	good := data.Utterance{ID: "u7", Text: []int32{40}, Speaker: "ryan", Codes: [][]int32{{1, 2, 3, 4}}}
	for want, change := range map[string]func(u *data.Utterance){
		`utterance "u7": speaker "bob" is not in spk_id, want one of ["dylan" "ryan" "serena"]`: func(u *data.Utterance) { u.Speaker = "bob" },
		`audio_codes[0] has 3 codes, want 4`:                                                    func(u *data.Utterance) { u.Codes = [][]int32{{1, 2, 3}} },
		`audio_codes[0][1] is 64, want 0 … 63`:                                                  func(u *data.Utterance) { u.Codes = [][]int32{{1, 64, 3, 4}} },
		`text_ids is empty`:                                                                     func(u *data.Utterance) { u.Text = nil },
	} {
		u := good
		change(&u)
		if _, err := TrainingRows(cfg, u); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := Collate(nil, PadRight); err == nil || !strings.Contains(err.Error(), "want at least one") {
		t.Errorf("error %v for an empty batch", err)
	}
	if _, err := DecodingRows(cfg, Request{ID: "u7", Text: []int32{40}, Language: "klingon"}); err == nil ||
		!strings.Contains(err.Error(), `"u7": language "klingon" is not known, want auto or one of`) || strings.Contains(err.Error(), "dialect") {
		t.Errorf("error %v, want the languages without dialects", err)
	}
}

// Padding on either side changes neither hidden states nor losses of the real rows.
func TestPaddingIsInvisible(t *testing.T) {
	m := loadFixture(t, "tiny-sharded")
	var seqs []Sequence
	for _, n := range []int{1, 4} {
		u := data.Utterance{ID: "u", Text: []int32{40, 41, 42}[:n/2+1], Speaker: "ryan"}
		for f := range n {
			u.Codes = append(u.Codes, []int32{int32(f), 2, 3, 4})
		}
		s, err := TrainingRows(m.Config, u)
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, s)
	}
	run(t, func(c *nn.Context) error {
		alone, err := Collate(seqs[:1], PadRight)
		if err != nil {
			return err
		}
		want := c.Squeeze(m.Forward(c, alone), 0)
		for _, side := range []Side{PadRight, PadLeft} {
			b, err := Collate(seqs, side)
			if err != nil {
				return err
			}
			at := int64(0)
			if side == PadLeft {
				at = int64(b.T - alone.T)
			}
			got := c.Narrow(c.Select(m.Forward(c, b), 0, 0), 0, at, int64(alone.T))
			wantClose(t, "hidden", got, want, 1e-5)
		}
		return nil
	})
}

// Only the aligned objective is offered for training, and the others say why not.
func TestObjectives(t *testing.T) {
	for _, name := range []string{"script", "projected", "aligned"} {
		var o Objective
		if err := o.UnmarshalText([]byte(name)); err != nil {
			t.Fatal(err)
		}
		switch err := o.Trainable(); {
		case o == Aligned && err != nil:
			t.Errorf("aligned is refused: %v", err)
		case o != Aligned && (err == nil || !strings.Contains(err.Error(), `want "aligned"`)):
			t.Errorf("%s: error %v, want one that says why and names aligned", name, err)
		}
	}
	var o Objective
	if err := o.UnmarshalText([]byte("other")); err == nil || !strings.Contains(err.Error(), `objective "other", want "script"`) {
		t.Errorf("error %v, want the choices", err)
	}
	m := loadFixture(t, "tiny-sharded")
	err := nn.Run(func(c *nn.Context) error { _, err := m.Loss(c, utterances(t, m.Config), Script); return err })
	if err == nil || !strings.Contains(err.Error(), "text_hidden_size 64, want hidden_size 80") {
		t.Errorf("error %v, want the widths", err)
	}
}
