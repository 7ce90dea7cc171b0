package train_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/train"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

const vocab = 7

// bigram predicts a frame's code from the one before: an embedding and a projection.
type bigram struct {
	table *nn.Embedding
	head  *nn.Slot
	noise float64
	spoil string // makes a term ("loss") or only its gradient ("grad") infinite
}

func newBigram(t testing.TB) *bigram {
	b := &bigram{noise: 0.01, table: nn.NewEmbedding("table", vocab, 8), head: nn.NewSlot("head", 8, vocab, true)}
	if err := nn.Init(b, 3, 0.5); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nn.Close(b) })
	return b
}

func (b *bigram) Visit(v nn.Visitor) { b.table.Visit(v); b.head.Visit(v) }
func (b *bigram) Module() nn.Module  { return b }

// Terms: cross-entropy, a decay of the table that is logged apart, and noise from libtorch's generator, which a resumed
// run must repeat.
func (b *bigram) Terms(c *nn.Context, us []data.Utterance, total train.Counts) ([]train.Term, error) {
	var in, out []int64
	for _, u := range us {
		for f, codes := range u.Codes {
			before := int64(0)
			if f > 0 {
				before = int64(u.Codes[f-1][0])
			}
			in, out = append(in, before), append(out, int64(codes[0]))
		}
	}
	n := int64(len(in))
	x := b.table.Forward(c, c.FromInts(in, n))
	x = c.Add(x, c.MulScalar(c.Randn(n, 8), b.noise))
	if b.spoil == "loss" {
		x = c.Log(c.Sub(x, x))
	}
	if b.spoil == "grad" { // √0: value 0, slope infinite
		x = c.Add(x, c.Sqrt(c.Sub(x, x)))
	}
	lp := c.LogSoftmax(b.head.Forward(c, x), -1)
	ce := c.Neg(c.Sum(c.Gather(lp, 1, c.FromInts(out, n, 1))))
	size := c.Sum(c.Square(x))
	return []train.Term{
		{Name: "ce", Weight: 1, Value: c.DivScalar(ce, float64(total.Frames))},
		{Name: "size", Weight: 0.01, Value: c.DivScalar(size, float64(total.Frames))},
	}, nil
}

// corpus has n utterances of different lengths over a nearly deterministic chain.
func corpus(n int) data.List {
	var l data.List
	for i := range n {
		u := data.Utterance{ID: fmt.Sprint("u", i), Text: []int32{1}, Speaker: "a", Language: "auto"}
		code := int32(i % vocab)
		for f := range 3 + i%5 {
			code = (code*3 + int32(f%2)) % vocab
			u.Codes = append(u.Codes, []int32{code})
		}
		l = append(l, u)
	}
	return l
}

// values of all parameters, by name.
func values(t *testing.T, m nn.Module) map[string][]float32 {
	t.Helper()
	out := map[string][]float32{}
	for _, p := range nn.Params(m) {
		v, err := tensor.Floats(p.T)
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name] = v
	}
	return out
}

// log keeps what a run reports.
type log struct {
	steps []track.Step
	notes []string
	done  int64 // of the last Start
	after func(track.Step) error
}

func (l *log) Start(done, _ int64) error { l.done = done; return nil }
func (l *log) Note(text string) error    { l.notes = append(l.notes, text); return nil }
func (l *log) Close() error              { return nil }
func (l *log) Step(s track.Step) error {
	l.steps = append(l.steps, s)
	if l.after != nil {
		return l.after(s)
	}
	return nil
}

// value of a name in a report.
func value(t *testing.T, s track.Step, name string) float64 {
	t.Helper()
	for _, v := range s.Values {
		if v.Name == name {
			return v.V
		}
	}
	t.Fatalf("step %d reports no %q: %v", s.Step, name, s.Values)
	return 0
}
