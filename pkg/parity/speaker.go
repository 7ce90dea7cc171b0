package parity

import (
	"fmt"
	"strings"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/speaker"
	"github.com/sugarme/gotch/ts"
)

// speakerRows are the mel filters that the goldens hold whole.
var speakerRows = []int64{0, 1, 40, 90, 127}

// speakerParts is what the goldens call the encoder's parts; the outputs of blocks are "blockN.out".
var speakerParts = map[string]string{
	"blocks.1.tdnn1":         "block1.tdnn1",
	"blocks.1.res2net_block": "block1.res2net",
	"blocks.1.se_block":      "block1.se",
	"mfa":                    "mfa",
	"asp":                    "asp",
}

func speakerSection(c *nn.Context, x *inputs) (err error) {
	e, err := speaker.Load(x.f.checkpoint(), speaker.Options{DType: x.m.DType})
	if err != nil {
		return err
	}
	defer e.Close()
	filters := e.Mel.Filters(c)
	x.out.put("mel_filterbank_rowsum", c.SumDim(filters, false, 1))
	if e.Mel.Bands > speakerRows[len(speakerRows)-1] {
		x.out.put("mel_filterbank_rows", c.IndexSelect(filters, 0, c.FromInts(speakerRows, int64(len(speakerRows)))))
	}
	nn.NoGrad(func() {
		if x.has("wav") {
			x.out.put("mel", x.mel(e, "wav"))
		}
		if x.has("wav2") {
			x.out.putInts("mel2_frames", []int64{c.Shape(x.mel(e, "wav2"))[1]}, 1)
			err = x.embed(e)
		}
		if x.has("mel") { // the encoder's own error, without that of the spectrogram
			watch := *c
			watch.Output = func(path string, y *ts.Tensor) {
				if name := speakerPart(strings.TrimPrefix(path, "speaker_encoder.")); name != "" {
					x.out.put(name, y)
				}
			}
			x.out.put("embedding", c.Squeeze(e.Forward(&watch, x.tensor("mel")), 0))
		}
	})
	return err
}

// mel is the spectrogram [1,T,M] of a golden clip.
func (x *inputs) mel(e *speaker.Encoder, name string) *ts.Tensor {
	return e.Mel.Forward(x.c, x.c.Reshape(x.tensor(name), 1, -1))
}

// embed goes all the way from samples to the vector.
func (x *inputs) embed(e *speaker.Encoder) error {
	samples, err := tensor.Floats(x.tensor("wav2"))
	if err != nil {
		return err
	}
	v, err := e.Embed(samples)
	if err == nil {
		x.out.put("embedding2", x.c.FromFloats(v, int64(len(v))))
	}
	return err
}

func speakerPart(path string) string {
	var block int
	if n, err := fmt.Sscanf(path, "blocks.%d", &block); n == 1 && err == nil && strings.Count(path, ".") == 1 {
		return fmt.Sprintf("block%d.out", block)
	}
	return speakerParts[path]
}
