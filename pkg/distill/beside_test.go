package distill_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/distill"
)

// threads sets libtorch's threads for the time of a test.
func threads(t *testing.T, n int) {
	t.Helper()
	if err := tensor.SetThreads(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tensor.SetThreads(1) })
}

// TestBesideTeachesTheSame: a teacher that computes at the same time as the student teaches what it does before it, alone
// on a thread as well as beside.
func TestBesideTeachesTheSame(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	batch := utterances(5)
	plain, err := distill.New(teacher, student, everything())
	if err != nil {
		t.Fatal(err)
	}
	want := through(t, plain, student, batch, false, 1)
	cfg := everything()
	cfg.Beside = true
	beside, err := distill.New(teacher, student, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2} {
		threads(t, n)
		nearly(t, through(t, beside, student, batch, false, 1), want, 1e-5)
	}
	if beside.TeacherTime() <= 0 {
		t.Error("no time is booked for the teacher")
	}
}

// TestProbeDoesNotDependOnThreads: batches that are measured at the same time give the same sums, to the bit.
func TestProbeDoesNotDependOnThreads(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	cfg := distill.DefaultMeasureConfig()
	cfg.Batch = 2
	p, err := distill.NewProbe(context.Background(), teacher, utterances(7), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var seen []distill.Divergence
	for _, n := range []int{1, 3} {
		threads(t, n)
		d, err := p.Measure(context.Background(), student)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, d)
	}
	if !reflect.DeepEqual(seen[0], seen[1]) || seen[0].Utterances != 7 {
		t.Errorf("with 1 thread %+v, with 3 %+v", seen[0], seen[1])
	}
}
