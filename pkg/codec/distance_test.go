package codec

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// The codes that Quantize chooses are the nearest by Distances, and these distances are those of the residuals, counted
// out one by one.
func TestDistances(t *testing.T) {
	m := loaded(t, "tiny-f32", Options{Parts: EncoderOnly})
	const frames = 6
	wav := tones(frames * int(m.Config.DownsampleRate))
	err := m.run(func(c *nn.Context) error {
		x := m.Encoder.Latents(c, c.FromFloats(wav, 1, 1, int64(len(wav))))
		codes := m.Encoder.Quantize(c, x, m.Groups())
		ids, err := tensor.Ints(codes)
		if err != nil {
			return err
		}
		for g, d := range m.Encoder.Distances(c, x, codes) {
			q, i := m.Encoder.semantic, g
			if n := len(q.books); g >= n {
				q, i = m.Encoder.acoustic, g-n
			}
			rest, err := tensor.Floats(c.Sub(q.rows(c, x), before(c, q, codes, g, i)))
			if err != nil {
				return err
			}
			table, err := tensor.Floats(q.books[i].table(c))
			if err != nil {
				return err
			}
			got, err := tensor.Floats(d)
			if err != nil {
				return err
			}
			D, V := len(rest)/frames, len(got)/frames
			for f := range frames {
				near := 0
				for v := range V {
					want := 0.0
					for j := range D {
						want += math.Pow(float64(rest[f*D+j]-table[v*D+j]), 2)
					}
					if off := math.Abs(float64(got[f*V+v]) - want); off > 1e-3*(1+want) {
						t.Fatalf("frame %d, group %d, code %d: distance %v, want %v", f, g, v, got[f*V+v], want)
					}
					if got[f*V+v] < got[f*V+near] {
						near = v
					}
				}
				if want := int(ids[f*m.Groups()+g]); near != want {
					t.Errorf("frame %d, group %d: nearest code is %d, Quantize chooses %d", f, g, near, want)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = m.run(func(c *nn.Context) error {
		x := m.Encoder.Latents(c, c.FromFloats(wav, 1, 1, int64(len(wav))))
		m.Encoder.Distances(c, x, c.FromInts(make([]int64, frames*99), 1, frames, 99))
		return nil
	})
	if want := fmt.Sprintf("99 codes a frame, want 1 to num_quantizers %d", m.Config.Encoder.Quantizers); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want %q", err, want)
	}
}

// before is the sum of the vectors of the codes of a quantizer's first n books; the last of them is in column g-1.
func before(c *nn.Context, q *quantizer, codes *ts.Tensor, g, n int) *ts.Tensor {
	sum := c.Zeros(gotch.Float, c.Shape(codes)[1], q.books[0].sum.Shape[1])
	for i, b := range q.books[:n] {
		sum = c.Add(sum, c.Squeeze(b.vectors(c, c.Contiguous(c.Select(codes, 2, int64(g-n+i)))), 0))
	}
	return sum
}
