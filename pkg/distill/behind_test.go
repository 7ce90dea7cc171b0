package distill_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
)

// A student that shares its talker with the teacher and has another code predictor and another head is measured behind the
// remembered hidden states as it is when everything runs, to the bit; and sharing leaves the teacher as it is.
func TestMeasureBehind(t *testing.T) {
	teacher, other := model(t, 1), model(t, 2)
	p, err := distill.NewProbe(context.Background(), teacher, utterances(7), distill.MeasureConfig{Batch: 3, Classes: distill.Full})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	student, err := teacher.Share()
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Measure(context.Background(), student)
	if err != nil {
		t.Fatal(err)
	}
	if kl := d.NatsPerFrame(); kl != 0 {
		t.Errorf("a shared tree is %g nats away", kl)
	}
	from := nn.Slots(other.Predictor)
	for i, s := range nn.Slots(student.Predictor) {
		s.P = from[i].P
	}
	student.CodecHead.P = other.CodecHead.P
	want, err := p.Measure(context.Background(), student)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.MeasureBehind(context.Background(), student)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-whole +behind):\n%s", d)
	}
	if want.KL[0] == 0 || want.KL[1] == 0 {
		t.Errorf("KL %v, want a student that differs in every codebook", want.KL)
	}
	if d, err := p.Measure(context.Background(), teacher); err != nil || d.NatsPerFrame() != 0 {
		t.Errorf("the teacher is %g nats from itself (%v)", d.NatsPerFrame(), err)
	}
	if _, err := student.Share(); err != nil {
		t.Errorf("sharing a shared tree: %v", err)
	}
	student.CodecHead.P = nn.NewLinear("elsewhere", 1, 1, false)
	if _, err := student.Share(); err == nil {
		t.Error("no error for a tree with a foreign layer")
	}
}
