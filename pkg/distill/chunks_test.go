package distill_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch/ts"
)

// wordy is a model whose logits are its largest activations by far.
func wordy(t *testing.T, seed int64, vocab string) *talker.Model {
	t.Helper()
	text := strings.Replace(strings.Replace(string(tinyConfig(t).Raw), `"vocab_size": 8,`, `"vocab_size": `+vocab+`,`, 1), `"vocab_size": 1032`, `"vocab_size": 9000`, 1)
	for _, id := range []string{"20", "21", "22", "23", "24", "25", "26", "30", "40", "41"} { // control tokens stand behind the codes
		text = strings.Replace(text, ": "+id, ": 85"+id, 1)
	}
	cfg, err := talker.ParseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	m, err := talker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, seed, 0.3); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// TestLogitsOfAChunkOnly: the peak of a pass forward and backward is that of a chunk's logits.
func TestLogitsOfAChunkOnly(t *testing.T) {
	teacher, student := wordy(t, 1, "7900"), wordy(t, 2, "7900")
	us := utterances(64)
	peak := func(cfg distill.Config) float64 {
		one(t, teacher, student, cfg, us, false)
		before := tensor.ResetHeld() // of tensors alone: what the process has depends on how the allocator keeps what was freed
		one(t, teacher, student, cfg, us, false)
		_, most := tensor.Held()
		return float64(most-before) / (1 << 20)
	}
	cfg := everything()
	cfg.ChunkRows = 0
	whole := peak(cfg)
	cfg.ChunkRows = 16
	chunks := peak(cfg)
	cfg.KLCode0, cfg.KLCodes, cfg.EOS, cfg.CECode0, cfg.CECodes = 0, 0, 0, 0, 0
	none := peak(cfg)
	logits := float64(train.Count(us).Frames) * 3 * 7900 * 4 / (1 << 20) // of the codes, one model's
	t.Logf("MiB: %.0f whole, %.0f in chunks of 16 rows, %.0f without any logits; one model's are %.0f", whole, chunks, none, logits)
	if whole-none < 4*logits || chunks-none > 0.15*(whole-none) {
		t.Errorf("logits take %.0f MiB whole and %.0f in chunks, want at least %.0f, and at most 15 %% of it", whole-none, chunks-none, 4*logits)
	}
}

// one pass forward and backward; the gradients stay where they are.
func one(t *testing.T, teacher, student *talker.Model, cfg distill.Config, us []data.Utterance, recompute bool) {
	t.Helper()
	o, err := distill.New(teacher, student, cfg)
	if err != nil {
		t.Fatal(err)
	}
	through(t, o, student, us, recompute, 1)
}

// counted counts the calls of a projection.
type counted struct {
	nn.Projection
	rows []int64
}

func (p *counted) Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	p.rows = append(p.rows, c.Shape(x)[0])
	return p.Projection.Forward(c, x)
}

// TestNothingIsComputedTwice: both heads see each row once, forward and backward together.
func TestNothingIsComputedTwice(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	heads := map[string]*counted{}
	for name, s := range map[string]*nn.Slot{
		"teacher's codec head": teacher.CodecHead, "student's codec head": student.CodecHead,
		"teacher's head 2": teacher.Predictor.Heads[2], "student's head 2": student.Predictor.Heads[2],
	} {
		heads[name] = &counted{Projection: s.P}
		s.P = heads[name]
	}
	us := utterances(5)
	cfg := distill.DefaultConfig()
	cfg.ChunkRows = 4
	one(t, teacher, student, cfg, us, false)
	n := train.Count(us)
	for name, h := range heads {
		want, sum := n.Frames, int64(0)
		if strings.Contains(name, "codec") {
			want += n.Utterances
		}
		for _, r := range h.rows {
			sum += r
		}
		if sum != want || slices.Max(h.rows) > 4 {
			t.Errorf("%s saw rows %v, %d in all, want %d in chunks of at most 4", name, h.rows, sum, want)
		}
	}
}

// TestChunksScale: a loss that is a multiple has that multiple of the gradient, as loss scaling needs it.
func TestChunksScale(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	cfg := everything()
	cfg.ChunkRows = 3
	o, err := distill.New(teacher, student, cfg)
	if err != nil {
		t.Fatal(err)
	}
	us := utterances(5)
	want, got := through(t, o, student, us, false, 1), through(t, o, student, us, false, 1024)
	for name, w := range want {
		for i := range w {
			if d := math.Abs(float64(got[name][i]/1024 - w[i])); d > 1e-6*math.Abs(float64(w[i]))+1e-12 {
				t.Fatalf("%s: gradient %d of 1024 times the loss is %v, want 1024 times %v", name, i, got[name][i], w[i])
			}
		}
	}
}
