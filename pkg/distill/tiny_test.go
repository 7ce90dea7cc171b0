package distill_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch/ts"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

// tinyConfig: 8 codes, 4 groups, 1024 control ids behind the codes, as the architecture has them.
func tinyConfig(t testing.TB) *talker.Config {
	stack := func(hidden, vocab int) string {
		return fmt.Sprintf(`"hidden_size": %d, "vocab_size": %d, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
			"num_key_value_heads": 1, "head_dim": 8, "num_code_groups": 4, "rms_norm_eps": 1e-6, "rope_theta": 10000, "hidden_act": "silu"`, hidden, vocab)
	}
	cfg, err := talker.ParseConfig([]byte(`{"model_type": "qwen3_tts", "tts_model_type": "custom_voice", "im_start_token_id": 200, "im_end_token_id": 201,
		"assistant_token_id": 202, "tts_pad_token_id": 203, "tts_bos_token_id": 204, "tts_eos_token_id": 205, "talker_config": {` + stack(16, 1032) + `,
		"text_hidden_size": 12, "text_vocab_size": 210, "codec_pad_id": 20, "codec_bos_id": 21, "codec_eos_token_id": 22, "codec_think_id": 23,
		"codec_nothink_id": 24, "codec_think_bos_id": 25, "codec_think_eos_id": 26, "codec_language_id": {"english": 30},
		"spk_id": {"ada": 40, "ben": 41}, "rope_scaling": {"interleaved": true, "mrope_section": [2, 1, 1], "rope_type": "default"},
		"code_predictor_config": {` + stack(12, 8) + `}}}`))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// model with random weights large enough that distributions differ from uniform ones.
func model(t testing.TB, seed int64) *talker.Model {
	m, err := talker.New(tinyConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, seed, 0.3); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// cloner is model as a checkpoint that clones voices.
func cloner(t testing.TB, seed int64) *talker.Model {
	m := model(t, seed)
	m.Config.Type = talker.Base
	return m
}

// clones are utterances that a base checkpoint can be given in all of its layouts: half of them name a language.
func clones(n int) data.List {
	r := rand.New(rand.NewPCG(7, 8))
	l := utterances(n)
	for i, u := range l {
		for range 16 {
			u.Vector = append(u.Vector, float32(r.NormFloat64()))
		}
		u.Language = []string{"auto", "english"}[i/2%2]
		for range 1 + r.IntN(3) {
			u.RefText = append(u.RefText, int32(r.IntN(200)))
			u.RefCodes = append(u.RefCodes, []int32{int32(r.IntN(8)), int32(r.IntN(8)), int32(r.IntN(8)), int32(r.IntN(8))})
		}
		l[i] = u
	}
	return l
}

// everyClone weighs all layouts of a base checkpoint.
func everyClone() distill.Layouts {
	return distill.Layouts{
		XVector: 1, InContext: 1, Text: distill.TextWeights{Streaming: 1, Whole: 1}, Language: distill.LanguageWeights{Auto: 1, Explicit: 1},
	}
}

// mixed is a Mix of set for checkpoints like m.
func mixed(t testing.TB, m *talker.Model, set data.Set, l distill.Layouts) *distill.Mix {
	t.Helper()
	x, err := distill.NewMix(set, m.Config, l, 1)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// dressed are the utterances of a mix in epoch 0.
func dressed(t testing.TB, x *distill.Mix) data.List {
	t.Helper()
	l, err := data.ReadAll(data.Stream(x))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// utterances of different lengths, so that batches have padding.
func utterances(n int) data.List {
	r := rand.New(rand.NewPCG(5, 6))
	var l data.List
	for i := range n {
		u := data.Utterance{ID: fmt.Sprint("u", i), Speaker: []string{"ada", "ben"}[i%2], Language: "auto"}
		for range 1 + r.IntN(4) {
			u.Text = append(u.Text, int32(r.IntN(200)))
		}
		for range 1 + r.IntN(6) {
			u.Codes = append(u.Codes, []int32{int32(r.IntN(8)), int32(r.IntN(8)), int32(r.IntN(8)), int32(r.IntN(8))})
		}
		l = append(l, u)
	}
	return l
}

func floats(t testing.TB, x *ts.Tensor) []float32 {
	t.Helper()
	v, err := tensor.Floats(x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func scalar(t testing.TB, x *ts.Tensor) float64 {
	t.Helper()
	v, err := tensor.Scalar(x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// table is rows of float64.
type table [][]float64

// rowsOf splits the elements of x into rows of n.
func rowsOf(t testing.TB, x *ts.Tensor, n int) table {
	var out table
	v := floats(t, x)
	for len(v) > 0 {
		row := make([]float64, n)
		for i := range row {
			row[i] = float64(v[i])
		}
		out, v = append(out, row), v[n:]
	}
	return out
}

// pass is what one model says about one utterance alone: no padding, no batch.
type pass struct {
	head, hidden table   // rows before a frame or the end
	labels       []int64 // of these rows
	codes        []table // [frame][G-1][V]
	frames       [][]int32
}

// alone runs m over u by itself.
func alone(t testing.TB, m *talker.Model, u data.Utterance) (p pass) {
	t.Helper()
	err := nn.Run(func(c *nn.Context) (err error) {
		nn.NoGrad(func() {
			var s talker.Sequence
			if s, err = distill.Rows(m.Config, u); err != nil {
				return
			}
			var b *talker.Batch
			if b, err = talker.Collate([]talker.Sequence{s}, talker.PadRight); err != nil {
				return
			}
			h := m.Forward(c, b)
			rows := m.Pick(c, h, b.TargetRows())
			p.hidden = rowsOf(t, rows, int(m.Config.Talker.Hidden))
			p.head = rowsOf(t, m.CodecHead.Forward(c, rows), int(m.Config.Talker.Vocab))
			p.labels, p.frames = b.Targets(), u.Codes
			n := int64(len(u.Codes))
			states := m.Predict(c, m.Pick(c, h, b.ConditionRows()), c.FromInts(b.FrameCodes(), n, 4))
			logits := m.CodeLogits(c, states)
			for f := range n {
				p.codes = append(p.codes, rowsOf(t, c.Select(logits, 0, f), 8))
			}
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
