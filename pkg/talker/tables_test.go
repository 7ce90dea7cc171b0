package talker_test

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// hiddenOf are the states of a fixed batch.
func hiddenOf(t *testing.T, m *talker.Model) (out []float32) {
	t.Helper()
	voice := talker.Voice{Vector: make([]float32, m.Config.Talker.Hidden)}
	p, err := talker.DecodingRows(m.Config, talker.Request{ID: "a", Text: []int32{3, 9, 3, 200}, Voice: &voice})
	if err != nil {
		t.Fatal(err)
	}
	frame := make([]int32, m.Config.Groups())
	for i := range frame {
		frame[i] = int32(7 * i % 64)
	}
	s, err := p.Complete(m.Config, [][]int32{frame, frame})
	if err != nil {
		t.Fatal(err)
	}
	b, err := talker.Collate([]talker.Sequence{s}, talker.PadRight)
	if err != nil {
		t.Fatal(err)
	}
	nn.NoGrad(func() {
		err = nn.Run(func(c *nn.Context) (err error) {
			h := m.Forward(c, b)
			if h.DType() != m.DType {
				t.Errorf("states of dtype %v, want %v", h.DType(), m.DType)
			}
			out, err = tensor.Floats(h)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameBits(t *testing.T, what string, a, b []float32) {
	t.Helper()
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			t.Fatalf("%s: value %d is %v and %v", what, i, a[i], b[i])
		}
	}
}

// Mapped parameters are the same numbers as read ones. Quantized tables serve a model of either dtype, packed as they do
// fake-quantized, and change what it computes.
func TestTables(t *testing.T) {
	dir := filepath.Join("testdata", "tiny-bf16", "checkpoint")
	for _, dtype := range []gotch.DType{gotch.Float, gotch.BFloat16} {
		load := func(mapped bool) *talker.Model {
			m, err := talker.Load(dir, talker.Options{DType: dtype, Mapped: mapped})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(m.Close)
			return m
		}
		m := load(true)
		float := hiddenOf(t, m)
		sameBits(t, "mapped", float, hiddenOf(t, load(false)))
		cfg := qat.DefaultConfig()
		cfg.Include, cfg.Embeddings.Bits = []string{"talker.codec_head"}, 4 // a projection that the states do not see
		if _, err := qat.Prepare(m, cfg); err != nil {
			t.Fatal(err)
		}
		fake := hiddenOf(t, m)
		if err := qat.Convert(m); err != nil {
			t.Fatal(err)
		}
		sameBits(t, "packed", fake, hiddenOf(t, m))
		differ := 0
		for i := range fake {
			if fake[i] != float[i] {
				differ++
			}
		}
		if differ < len(fake)/2 {
			t.Errorf("%d of %d values differ from the float tables': were they quantized?", differ, len(fake))
		}
	}
}
