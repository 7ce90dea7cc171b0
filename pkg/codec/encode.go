package codec

import (
	"errors"
	"fmt"
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Encode gives the codes of mono samples at Config.InputRate, in about [-1, 1]: [⌈samples/hop⌉][groups].
func (m *Codec) Encode(wav []float32) ([][]int32, error) {
	out, err := m.EncodeBatch([][]float32{wav})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// EncodeBatch encodes clips as the reference encodes a batch: zeros fill each clip up to the longest. So the last frame of
// a shorter clip, where it is not full, may get other codes than by Encode, whose layers pad what they see.
func (m *Codec) EncodeBatch(wavs [][]float32) ([][][]int32, error) {
	if m.Encoder == nil {
		return nil, errors.New("codec: encode: the encoder is not loaded (Parts is DecoderOnly)")
	}
	longest := 0
	for i, w := range wavs {
		if err := CheckSamples(w); err != nil {
			return nil, fmt.Errorf("codec: encode: clip %d: %w", i, err)
		}
		longest = max(longest, len(w))
	}
	out := make([][][]int32, len(wavs))
	for i, w := range wavs {
		// A frame depends on no sample behind it: what the longest clip has beyond the last frame does not matter.
		hop := int(m.Config.DownsampleRate)
		frames := (len(w) + hop - 1) / hop
		padded := make([]float32, min(longest, frames*hop))
		copy(padded, w)
		codes, err := m.encode(padded)
		if err != nil {
			return nil, fmt.Errorf("codec: encode: clip %d: %w", i, err)
		}
		out[i] = codes
	}
	return out, nil
}

// loudest sample that passes: a float signal may overshoot 1, but 16-bit integers are not in this scale.
const loudest = 32

// CheckSamples is the error that Encode has for samples: none at all, one that is no finite number, or one that is far
// beyond full scale.
func CheckSamples(wav []float32) error {
	if len(wav) == 0 {
		return errors.New("no samples, want at least one")
	}
	for i, v := range wav {
		switch a := math.Abs(float64(v)); {
		case math.IsNaN(a) || math.IsInf(a, 0):
			return fmt.Errorf("sample %d is %v, want a finite number", i, v)
		case a > loudest:
			return fmt.Errorf("sample %d is %v, want about -1 to 1 (16-bit samples are divided by 32768)", i, v)
		}
	}
	return nil
}

// framesAtOnce is how much the convolutions see at a time: activations at the rate of the samples exist for one piece.
const framesAtOnce = 25

func (m *Codec) encode(wav []float32) (codes [][]int32, err error) {
	err = m.run(func(c *nn.Context) error {
		h := newHistory()
		defer h.close()
		var pieces []*ts.Tensor
		for size := framesAtOnce * int(m.Config.DownsampleRate); len(wav) > 0; wav = wav[min(size, len(wav)):] {
			n := min(size, len(wav))
			c.Nest(func(in *nn.Context) {
				x := in.ToDevice(in.To(in.FromFloats(wav[:n], 1, 1, int64(n)), m.DType), m.Device)
				pieces = append(pieces, in.Promote(m.Encoder.conv.forward(in, x, h)))
			})
		}
		x := pieces[0]
		if len(pieces) > 1 {
			x = c.Cat(2, pieces...)
		}
		ids := m.Encoder.Quantize(c, m.Encoder.rows(c, x), m.Groups())
		flat, err := tensor.Ints(ids)
		codes = rowsOf(flat, m.Groups())
		return err
	})
	return codes, err
}

// rowsOf cuts a flat list into rows of n.
func rowsOf(flat []int64, n int) [][]int32 {
	out := make([][]int32, len(flat)/n)
	for i := range out {
		out[i] = make([]int32, n)
		for j := range out[i] {
			out[i][j] = int32(flat[i*n+j])
		}
	}
	return out
}
