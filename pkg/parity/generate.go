package parity

import (
	"context"
	"fmt"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/speaker"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch/ts"
)

// generateSection speaks the requests of every mode greedily.
func generateSection(c *nn.Context, x *inputs) error {
	if err := x.reference(); err != nil {
		return err
	}
	for _, name := range sortedKeys(x.f.modes) {
		var err error
		c.Nest(func(in *nn.Context) {
			y := *x
			y.c = in
			nn.NoGrad(func() { err = y.mode(name, x.f.modes[name]) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// mode computes the goldens of one mode.
func (x *inputs) mode(name string, m mode) error {
	for b := range m.Frames {
		if !x.has(fmt.Sprintf("%s.%d.input_ids", name, b)) {
			return nil
		}
	}
	prompts, err := x.prompts(name, m)
	if err != nil {
		return err
	}
	seqs := make([]talker.Sequence, len(prompts))
	for i, p := range prompts {
		seqs[i] = p.Sequence
	}
	b, err := talker.Collate(seqs, talker.PadLeft)
	if err != nil {
		return err
	}
	x.out.put(name+".prompt_embeds", x.m.Embed(x.c, b))
	x.out.putInts(name+".attention_mask", b.Mask, int64(b.B), int64(b.T))
	text, pad := x.trailing(prompts)
	x.out.put(name+".trailing_text", text)
	x.out.put(name+".tts_pad_embed", pad)
	if err := x.draws(name, b, text, pad, m.Max); err != nil {
		return err
	}
	return x.speak(name, prompts, m)
}

// trailing is the text that is added to the frames, [B,n,H] with pads behind shorter ones, n ≥ 1; and the pad, [1,1,H].
func (x *inputs) trailing(prompts []talker.Prompt) (text, pad *ts.Tensor) {
	n := 1
	for _, p := range prompts {
		n = max(n, len(p.Trailing))
	}
	var ids []int64
	for _, p := range prompts {
		for k := range n {
			id := x.m.Config.PadText
			if k < len(p.Trailing) {
				id = p.Trailing[k]
			}
			ids = append(ids, int64(id))
		}
	}
	c := x.c
	pad = x.m.Text(c, c.FromInts([]int64{int64(x.m.Config.PadText)}, 1, 1))
	return x.m.Text(c, c.FromInts(ids, int64(len(prompts)), int64(n))), pad
}

// speak decodes as a user does: codes, hidden states and, where the fixture has it, the waveform.
func (x *inputs) speak(name string, prompts []talker.Prompt, m mode) error {
	s := talker.DefaultSampling()
	s.DoSample, s.SubDoSample, s.MaxNewTokens = false, false, m.Max
	decoder, predictor := x.m.TalkerStepper(), x.m.PredictorStepper()
	defer decoder.Close()
	defer predictor.Close()
	out, err := x.m.GenerateWatched(context.Background(), decoder, predictor, prompts, s, talker.Watch{Hidden: true})
	if err != nil {
		return err
	}
	for b, speech := range out {
		item := fmt.Sprintf("%s.%d", name, b)
		n := int64(len(speech.Codes))
		x.putCodes(item+".codes", speech.Codes, nil)
		x.out.put(item+".hidden", x.c.FromFloats(slices.Concat(speech.Hidden...), n, x.m.Config.Talker.Hidden))
		if x.has(item + ".wav") {
			x.hear(item, speech.Codes)
		}
	}
	return nil
}

// hear decodes the frames of an utterance to sound. Those of a reference are decoded before them, and their share of the
// samples is cut off again, as large as the reference implementation computes it.
func (x *inputs) hear(item string, codes [][]int32) {
	var given [][]int32
	if x.has(item + ".ref_code") {
		given = x.frames(item + ".ref_code")
	}
	all := slices.Concat(given, codes)
	err := x.withCodec(codec.DecoderOnly, func(_ *nn.Context, d *codec.Codec) error {
		wav, err := d.Decode(all)
		if err != nil {
			return err
		}
		wav = wav[int(float64(len(given))/float64(len(all))*float64(len(wav))):]
		x.out.put(item+".wav", x.c.FromFloats(wav, int64(len(wav))))
		return nil
	})
	if err != nil {
		x.fail(item+".wav", "%w", err)
	}
}

// reference makes the speaker vector and the codes of the clip that the clones are made of.
func (x *inputs) reference() error {
	if !x.has("ref_wav") {
		return nil
	}
	clip, err := tensor.Floats(x.tensor("ref_wav"))
	if err != nil {
		return err
	}
	if names := x.items("speaker_embedding"); len(names) > 0 {
		v, err := x.voice(clip)
		for _, name := range names {
			if err != nil {
				x.fail(name, "%w", err)
				continue
			}
			x.out.put(name, x.c.FromFloats(v, int64(len(v))))
		}
	}
	if names := x.items("ref_code"); len(names) > 0 {
		var frames [][]int32
		err := x.withCodec(codec.EncoderOnly, func(_ *nn.Context, m *codec.Codec) (err error) {
			frames, err = m.Encode(clip)
			return err
		})
		for _, name := range names {
			x.putCodes(name, frames, err)
		}
	}
	return nil
}

// items are the goldens of this kind, over all utterances of all modes.
func (x *inputs) items(kind string) []string {
	var out []string
	for _, name := range sortedKeys(x.f.modes) {
		for b := range x.f.modes[name].Frames {
			if item := fmt.Sprintf("%s.%d.%s", name, b, kind); x.has(item) {
				out = append(out, item)
			}
		}
	}
	return out
}

func (x *inputs) voice(clip []float32) ([]float32, error) {
	e, err := speaker.Load(x.f.checkpoint(), speaker.Options{DType: x.m.DType})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return e.Embed(clip)
}
