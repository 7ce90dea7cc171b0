package talker

import (
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// All parts in a row are the model to the bit: what each projection reads, in the same order, and what the heads say of a
// batch with padding; and their slots are the model's.
func TestPartsAreTheModel(t *testing.T) {
	for _, rotation := range []nn.Hadamard{{}, {Block: 16, Seed: 1}} {
		m := loadFixture(t, "tiny-f32")
		m.Decoder.Rotation, m.Predictor.Decoder.Rotation = rotation, rotation
		partsAreTheModel(t, m)
	}
}

func partsAreTheModel(t *testing.T, m *Model) {
	t.Helper()
	b := paddedBatch(t, m)
	type seen struct {
		path string
		x    []float32
	}
	watch := func(forward func(c *nn.Context)) (out []seen) {
		err := nn.Run(func(c *nn.Context) error {
			c.Input = func(path string, x *ts.Tensor) {
				v, err := tensor.Floats(x)
				if err != nil {
					t.Error(err)
				}
				out = append(out, seen{path, v})
			}
			nn.NoGrad(func() { forward(c) })
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := watch(func(c *nn.Context) {
		h := m.Forward(c, b)
		m.CodecHead.Forward(c, m.Pick(c, h, b.TargetRows()))
		codes := c.FromInts(b.FrameCodes(), int64(len(b.Frame)), int64(m.Config.Groups()))
		m.CodeLogits(c, m.Predict(c, m.Pick(c, h, b.ConditionRows()), codes))
	})
	var slots []*nn.Slot
	got := watch(func(c *nn.Context) {
		var x *ts.Tensor
		for _, p := range m.Parts() {
			if x = p.Forward(c, b, x); p.Block != nil && c.Shape(x)[0]*c.Shape(x)[1] != p.Rows(b) {
				t.Errorf("%s: %v rows go on, want %d", p.Path, c.Shape(x), p.Rows(b))
			}
			slots = append(slots, p.Slots...)
		}
		if x != nil {
			t.Error("something goes on behind the last part")
		}
	})
	if !slices.EqualFunc(got, want, func(a, b seen) bool { return a.path == b.path && slices.Equal(a.x, b.x) }) {
		t.Errorf("projections read other inputs by parts than in the whole model: %d and %d of them", len(got), len(want))
	}
	if !slices.Equal(slots, nn.Slots(m)) {
		t.Errorf("the parts have %d slots, in another order than the model's %d", len(slots), len(nn.Slots(m)))
	}
}

// paddedBatch is two utterances of different lengths.
func paddedBatch(t *testing.T, m *Model) *Batch {
	t.Helper()
	var seqs []Sequence
	for i := range 2 {
		p, err := DecodingRows(m.Config, Request{ID: "a", Text: []int32{3, 9, 3}[:2+i], Voice: &Voice{Vector: make([]float32, m.Config.Talker.Hidden)}})
		if err != nil {
			t.Fatal(err)
		}
		frame := make([]int32, m.Config.Groups())
		for g := range frame {
			frame[g] = int32((7*g + i) % int(m.Config.Codebook()))
		}
		s, err := p.Complete(m.Config, [][]int32{frame, frame, frame}[:1+2*i])
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
