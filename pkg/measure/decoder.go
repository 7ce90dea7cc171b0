package measure

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/packed"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// Options of Open.
type Options struct {
	Model    string
	DType    gotch.DType           // of float parameters and activations; the zero value means float32
	Codec    gotch.DType           // of the codec; the zero value means DType
	Steppers talker.StepperOptions // whose threads are 0 for as many as libtorch's
	Dense    bool                  // packed layers become dense matrices of DType
	Text     int                   // tokens of the prompt's text
	Rows     int                   // of the prompt, for which Text changes; 0 for those of Text
	Voice    string                // a preset voice; "" is the first that the checkpoint has
	Language string                // "" is auto
	Frames   int                   // of a speech, at least 2: the first is the prompt's
	Chunk    int                   // frames that the codec decodes at once
	Silent   bool                  // leaves out the codec; so does a checkpoint that has none
}

func (o Options) validate() error {
	if o.Text < 1 || o.Frames < 2 || !o.Silent && o.Chunk < 1 {
		return fmt.Errorf("measure: %d text tokens, %d frames, chunks of %d, want at least 1, 2 and 1", o.Text, o.Frames, o.Chunk)
	}
	return nil
}

// Decoder decodes a prompt of a checkpoint. It serves one caller at a time.
type Decoder struct {
	Model    *talker.Model
	Codec    *codec.Codec // nil: none
	Steppers *talker.Steppers
	Packed   *packed.Loaded // what kernels of pkg/packed compute with, and what not; nil: nothing
	Prompt   talker.Prompt
	Sampling talker.Sampling

	o      Options
	spent  talker.Spent // of the last speech's frames
	frames int          // of these
}

// Open loads a checkpoint folder, float or packed.
func Open(o Options) (d *Decoder, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	d = &Decoder{o: o, Sampling: talker.DefaultSampling().Exactly(o.Frames)}
	defer func() {
		if err != nil {
			d.Close()
			d = nil
		}
	}()
	swap := func(m *talker.Model, dir string) (err error) {
		if o.Dense || o.Steppers.Library {
			return qat.FromCheckpoint(m, dir)
		}
		d.Packed, err = packed.FromCheckpoint(m, dir, packed.SwapOptions{Kernels: o.Steppers.PackedKernels})
		return err
	}
	if d.Model, err = talker.Load(o.Model, talker.Options{DType: o.DType, Swap: swap, Mapped: true}); err != nil {
		return nil, err
	}
	if o.Dense {
		if err := dense(d.Model); err != nil {
			return nil, err
		}
	}
	if d.Steppers, err = d.Model.Steppers(o.Steppers); err != nil {
		return nil, err
	}
	if !o.Silent {
		if o.Codec == (Options{}).Codec {
			o.Codec = o.DType
		}
		dir := filepath.Join(o.Model, "speech_tokenizer")
		if _, err := os.Stat(dir); err == nil {
			if d.Codec, err = codec.Load(dir, codec.Options{DType: o.Codec, Parts: codec.DecoderOnly}); err != nil {
				return nil, err
			}
		}
	}
	if d.Prompt, err = d.prompt(); err == nil && o.Rows > 0 {
		if d.o.Text += o.Rows - len(d.Prompt.Rows); d.o.Text < 1 {
			return d, fmt.Errorf("measure: a prompt of %d rows, want at least %d", o.Rows, len(d.Prompt.Rows)-o.Text+1)
		}
		d.Prompt, err = d.prompt()
	}
	return d, err
}

// dense puts the weights of packed layers in the model's dtype in their places.
func dense(m *talker.Model) error {
	return nn.Run(func(c *nn.Context) error {
		for _, s := range nn.Slots(m) {
			p, ok := s.P.(*qat.Packed)
			if !ok {
				continue
			}
			l := nn.NewLinear(s.Path, s.In, s.Out, p.B != nil)
			c.Nest(func(in *nn.Context) {
				l.W.Set(in.Release(in.To(p.Weight(in), m.DType)))
				if p.B != nil {
					l.B.Set(in.Release(in.To(p.B.T, m.DType)))
				}
			})
			nn.Close(p)
			s.P = l
		}
		return nil
	})
}

// Body is the text: any tokens will do.
func (d *Decoder) Body() []int32 {
	ids := make([]int32, d.o.Text)
	for i := range ids {
		ids[i] = int32(65+i%26) % int32(d.Model.Config.Talker.TextVocab)
	}
	return ids
}

func (d *Decoder) prompt() (talker.Prompt, error) {
	cfg := d.Model.Config
	r := talker.Request{ID: "measure", Text: d.Body(), Language: d.o.Language}
	voices := slices.Sorted(maps.Keys(cfg.Talker.SpeakerIDs))
	switch {
	case d.o.Voice != "":
		v, err := cfg.PresetVoice(d.o.Voice)
		if err != nil {
			return talker.Prompt{}, err
		}
		r.Voice = &v
	case len(voices) > 0:
		v, err := cfg.PresetVoice(voices[0])
		if err != nil {
			return talker.Prompt{}, err
		}
		r.Voice = &v
	case cfg.Type == talker.Base:
		r.Voice = &talker.Voice{Vector: make([]float32, cfg.Talker.Hidden)}
	}
	return talker.DecodingRows(cfg, r)
}

// Close frees all parts.
func (d *Decoder) Close() {
	if d.Steppers != nil {
		d.Steppers.Close()
	}
	if d.Codec != nil {
		d.Codec.Close()
	}
	if d.Model != nil {
		d.Model.Close()
	}
	if d.Packed != nil {
		d.Packed.Close()
	}
}
