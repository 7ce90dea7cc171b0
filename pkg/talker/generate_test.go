package talker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Greedy codes, hidden states and ends equal the reference's, from the reference's prompts: alone and in padded batches.
func TestGreedyDecoding(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-sharded"} {
		m := loadFixture(t, fixture)
		g := openGoldens(t, fixture, "generate.safetensors")
		for name, mode := range generationModes(t, fixture) {
			t.Run(fixture+"/"+name, func(t *testing.T) { greedy(t, m, g, name, mode, m.TalkerStepper(), m.PredictorStepper()) })
		}
	}
}

func greedy(t *testing.T, m *Model, g *goldens, name string, mode mode, talker, predictor Stepper) {
	s := DefaultSampling()
	s.DoSample, s.SubDoSample, s.MaxNewTokens = false, false, mode.Max
	run(t, func(c *nn.Context) error {
		trailing := g.tensor(c, name+".trailing_text")
		size := c.Shape(trailing)
		pad := c.Reshape(g.tensor(c, name+".tts_pad_embed"), 1, size[2])
		st := start{x: g.tensor(c, name+".prompt_embeds"), mask: g.ints(c, name+".attention_mask")}
		st.tail = tails{table: c.Cat(0, c.Reshape(trailing, -1, size[2]), pad), pad: size[0] * size[1]}
		for b := range size[0] {
			st.ids = append(st.ids, fmt.Sprint(b))
			var rows []int64
			for k := range size[1] {
				rows = append(rows, b*size[1]+k)
			}
			st.tail.rows = append(st.tail.rows, rows)
		}
		defer talker.Close()
		defer predictor.Close()
		out, err := m.decode(context.Background(), c, talker, predictor, st, s, Watch{})
		if err != nil {
			return err
		}
		for b, speech := range out {
			want := g.frames(c, fmt.Sprintf("%s.%d.codes", name, b), m.Config.Groups())
			if !reflect.DeepEqual(speech.Codes, want) {
				t.Errorf("utterance %d: codes %v, want %v", b, speech.Codes, want)
			}
			if speech.Ended != mode.Ended[b] {
				t.Errorf("utterance %d: ended %v, want %v", b, speech.Ended, mode.Ended[b])
			}
		}
		return nil
	})
}

// Prompts that DecodingRows lays out embed to the reference's, with padding, trailing text and dialects.
func TestPrompts(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-sharded"} {
		m := loadFixture(t, fixture)
		g := openGoldens(t, fixture, "generate.safetensors")
		tested := 0
		for name, mode := range generationModes(t, fixture) {
			tested++
			t.Run(fixture+"/"+name, func(t *testing.T) { prompts(t, m, g, name, mode) })
		}
		if tested < 5 {
			t.Errorf("%s has %d prompts to test, want 5 or more", fixture, tested)
		}
	}
}

func prompts(t *testing.T, m *Model, g *goldens, name string, mode mode) {
	run(t, func(c *nn.Context) error {
		list := goldenPrompts(t, m, c, g, name, mode)
		var seqs []Sequence
		for _, p := range list {
			seqs = append(seqs, p.Sequence)
		}
		batch, err := Collate(seqs, PadLeft)
		if err != nil {
			return err
		}
		wantClose(t, "prompt", m.Embed(c, batch), g.tensor(c, name+".prompt_embeds"), 2e-4)
		if want := g.ints(c, name+".attention_mask"); !slices.Equal(batch.Mask, want) {
			t.Errorf("mask %v, want %v", batch.Mask, want)
		}
		tail := m.tails(c, list)
		want := g.tensor(c, name+".trailing_text")
		var got []*ts.Tensor
		for _, rows := range tail.rows {
			for int64(len(rows)) < c.Shape(want)[1] {
				rows = append(slices.Clip(rows), tail.pad)
			}
			got = append(got, c.IndexSelect(tail.table, 0, c.FromInts(rows, int64(len(rows)))))
		}
		wantClose(t, "trailing text", c.Stack(0, got...), want, 2e-4)
		return nil
	})
}

// goldenPrompts lays out the requests of a mode.
func goldenPrompts(t *testing.T, m *Model, c *nn.Context, g *goldens, name string, mode mode) []Prompt {
	t.Helper()
	cfg := *m.Config
	var list []Prompt
	for b := range mode.Ended {
		r := request(t, m, c, g, fmt.Sprintf("%s.%d", name, b), mode, b)
		if r.Voice == nil { // one checkpoint stands for both kinds
			cfg.Type = VoiceDesign
		}
		p, err := DecodingRows(&cfg, r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func request(t *testing.T, m *Model, c *nn.Context, g *goldens, item string, mode mode, b int) Request {
	t.Helper()
	ids := g.ids(c, item+".input_ids")
	if role := ids[:3]; !slices.Equal(role, m.Config.Role()) {
		t.Fatalf("role tokens %v, want %v", m.Config.Role(), role)
	}
	r := Request{ID: item, Text: ids[3 : len(ids)-5], Instruct: g.ids(c, item+".instruct_ids"), Streaming: !mode.NonStreaming}
	if l := mode.Languages[b]; l != nil {
		r.Language = *l
	}
	if g.has(item + ".speaker_embedding") {
		v, err := tensor.Floats(g.tensor(c, item+".speaker_embedding"))
		if err != nil {
			t.Fatal(err)
		}
		r.Voice = &Voice{Vector: v}
	}
	if ids := g.ids(c, item+".ref_ids"); ids != nil {
		r.Reference = &Reference{Text: ids[3 : len(ids)-2], Codes: g.frames(c, item+".ref_code", m.Config.Groups())}
	}
	if mode.Speakers != nil {
		v, err := m.Config.PresetVoice(mode.Speakers[b])
		if err != nil {
			t.Fatal(err)
		}
		r.Voice = &v
	}
	return r
}

func sampledPrompts(t *testing.T, m *Model, n int) []Prompt {
	t.Helper()
	var out []Prompt
	for i := range n {
		voice, err := m.Config.PresetVoice([]string{"serena", "ryan", "dylan"}[i%3])
		if err != nil {
			t.Fatal(err)
		}
		text := []int32{30, 31, 32, 33, 34, 35, 36, 37}[:2+i]
		p, err := DecodingRows(m.Config, Request{ID: fmt.Sprintf("u%d", i), Text: text, Voice: &voice, Streaming: i%2 == 1})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// What an utterance draws is decided by the seed and its name, not by its company.
func TestSamplingAloneAndInBatch(t *testing.T) {
	m := loadFixture(t, "tiny-sharded")
	s := DefaultSampling()
	s.MaxNewTokens, s.Seed, s.TopP = 12, 3, 0.95
	all := sampledPrompts(t, m, 5)
	together, err := m.Generate(context.Background(), all, s)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range all {
		alone, err := m.Generate(context.Background(), []Prompt{p}, s)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(alone[0], together[i]) {
			t.Errorf("%s alone %v, in a batch %v", p.ID, alone[0], together[i])
		}
		if n := len(together[i].Codes); n < 1 || n > s.MaxNewTokens-1 {
			t.Errorf("%s has %d frames, want 1 … %d", p.ID, n, s.MaxNewTokens-1)
		}
	}
	s.Seed = 4
	other, err := m.Generate(context.Background(), all, s)
	if err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(other, together) {
		t.Error("another seed draws the same codes")
	}
}

func TestGenerateStops(t *testing.T) {
	m := loadFixture(t, "tiny-sharded")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Generate(ctx, sampledPrompts(t, m, 1), DefaultSampling()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one that wraps context.Canceled", err)
	}
	s := DefaultSampling()
	s.Temperature, s.SubTopP = 0, 2
	_, err := m.Generate(context.Background(), sampledPrompts(t, m, 1), s)
	if err == nil || !strings.Contains(err.Error(), `"temperature": value 0`) || !strings.Contains(err.Error(), `"subtalker_top_p": value 2`) {
		t.Errorf("error %v, want both bad values", err)
	}
	s = DefaultSampling()
	s.DoSample, s.Temperature, s.SubDoSample, s.SubTemperature = false, 0, false, 0
	if err := s.Validate(); err != nil {
		t.Errorf("a temperature that nothing is divided by: %v", err)
	}
}

// Row by row through the caches is the same as all at once, with and without padding, also after utterances left.
func TestCacheEqualsFullForward(t *testing.T) {
	m := loadFixture(t, "tiny-bf16")
	const B, T, head = 3, 9, 5
	mask := []int64{1, 1, 1, 1, 1, 1, 1, 1, 1 /**/, 0, 0, 1, 1, 1, 1, 1, 1, 1 /**/, 0, 0, 0, 0, 1, 1, 1, 1, 1}
	for name, mask := range map[string][]int64{"padded": mask, "whole": filled(B*T, 1)} {
		run(t, func(c *nn.Context) error {
			tensor.Seed(1)
			x := c.Randn(B, T, m.Config.Talker.Hidden)
			full := m.Hidden(c, x, m.ViewOf(c, mask, B, T), nil)
			st := m.TalkerStepper()
			defer st.Close()
			var first []int64
			for b := range B {
				first = append(first, mask[b*T:b*T+head]...)
			}
			keep := c.FromInts([]int64{2, 0}, 2)
			h := st.Prefill(c, c.Narrow(x, 1, 0, head), first)
			for k := head; k < T; k++ {
				wantClose(t, fmt.Sprintf("%s row %d", name, k-1), h, c.Select(full, 1, int64(k-1)), 1e-5)
				if k == head+2 {
					st.Keep(c, []int64{2, 0})
					x, full = c.IndexSelect(x, 0, keep), c.IndexSelect(full, 0, keep)
				}
				h = st.Step(c, c.Select(x, 1, int64(k)))
			}
			wantClose(t, name+" last row", h, c.Select(full, 1, T-1), 1e-5)
			return nil
		})
	}
}
