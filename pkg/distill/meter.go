package distill

import (
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch/ts"
)

// meter sums up the divergence of a student.
type meter struct {
	Divergence
	student  *talker.Model
	same     bool // the student's hidden states are the teacher's
	cfg      MeasureConfig
	byLayout map[Layout]*LayoutDivergence // sums
}

func newMeter(student *talker.Model, cfg MeasureConfig) *meter {
	G := student.Config.Groups()
	return &meter{
		Divergence: Divergence{KL: make([]float64, G), Agreement: make([]float64, G)},
		student:    student, cfg: cfg, byLayout: map[Layout]*LayoutDivergence{},
	}
}

// merge adds the sums of o, whose utterances come after.
func (m *meter) merge(o *meter) {
	m.Utterances += o.Utterances
	m.Frames += o.Frames
	m.Ends = append(m.Ends, o.Ends...)
	for g := range m.KL {
		m.KL[g] += o.KL[g]
		m.Agreement[g] += o.Agreement[g]
	}
	for l, from := range o.byLayout {
		to := m.of(l)
		to.Utterances += from.Utterances
		to.Frames += from.Frames
		for g := range to.KL {
			to.KL[g] += from.KL[g]
		}
	}
}

// mean divides the sums by their rows.
func (m *meter) mean() Divergence {
	for g := range m.KL {
		rows := float64(m.Frames)
		if g == 0 {
			rows += float64(m.Utterances)
		}
		m.KL[g] /= rows
		m.Agreement[g] /= rows
	}
	m.Layouts = m.perLayout()
	return m.Divergence
}

// perLayout divides the sums of each layout by its rows.
func (m *meter) perLayout() (out []LayoutDivergence) {
	if len(m.byLayout) < 2 {
		return nil
	}
	count := map[Layout]int{}
	for l, d := range m.byLayout {
		count[l] = int(d.Utterances)
	}
	for _, s := range shares(count) {
		d := *m.byLayout[s.Layout]
		d.KL = slices.Clone(d.KL)
		for g := range d.KL {
			rows := d.Frames
			if g == 0 {
				rows += d.Utterances
			}
			d.KL[g] /= float64(rows)
		}
		out = append(out, d)
	}
	return out
}

// of is the sums of a layout.
func (m *meter) of(l Layout) *LayoutDivergence {
	d := m.byLayout[l]
	if d == nil {
		d = &LayoutDivergence{Layout: l, KL: make([]float64, len(m.KL))}
		m.byLayout[l] = d
	}
	return d
}

// add adds the sums over l, whose outputs of the teacher are t.
func (m *meter) add(c *nn.Context, l *forced, t outputs) (err error) {
	nn.NoGrad(func() {
		s := t
		switch {
		case m.student == t.m: // the teacher says again what it said
		case m.same:
			s = behind(c, m.student, l, t)
		default:
			s = inference(c, m.student, l, true)
		}
		err = eachChunk(c, l.M, m.cfg.ChunkRows, func(c *nn.Context, at, n int64) error { return m.addCode0(c, l, t, s, at, n) })
		if err == nil {
			err = eachChunk(c, l.N, m.cfg.ChunkRows, func(c *nn.Context, at, n int64) error { return m.addCodes(c, l, t, s, at, n) })
		}
	})
	m.Utterances += int64(l.batch.B)
	m.Frames += l.N
	for _, layout := range l.layouts {
		m.of(layout).Utterances++
	}
	for _, row := range l.frames {
		m.of(l.layoutOf(row)).Frames++
	}
	return err
}

// eachChunk calls f for runs of at most size rows; temporaries end with each.
func eachChunk(c *nn.Context, rows int64, size int, f func(c *nn.Context, at, n int64) error) (err error) {
	step := int64(size)
	if step == 0 {
		step = rows
	}
	for at := int64(0); at < rows && err == nil; at += step {
		c.Nest(func(in *nn.Context) { err = f(in, at, min(step, rows-at)) })
	}
	return err
}

func (m *meter) addCode0(c *nn.Context, l *forced, t, s outputs, at, n int64) error {
	lt := c.ToDevice(headLogits(c, t.m, c.Narrow(t.hidden, 0, at, n)), m.student.Device)
	ls := headLogits(c, s.m, c.Narrow(s.hidden, 0, at, n))
	rt, rs := reachable(c, t.m.Config, lt), reachable(c, s.m.Config, ls)
	pt, err := tensor.Floats(c.Sigmoid(eosLogit(c, rt)))
	if err != nil {
		return err
	}
	ps, err := tensor.Floats(c.Sigmoid(eosLogit(c, rs)))
	if err != nil {
		return err
	}
	eos := int64(s.m.Config.Talker.CodecEos)
	for i := range pt {
		m.Ends = append(m.Ends, EndRow{End: l.labels[at+int64(i)] == eos, Teacher: float64(pt[i]), Student: float64(ps[i])})
	}
	if m.cfg.Classes == Reachable {
		lt, ls = rt, rs
	}
	return m.addRows(c, lt, ls, 0, func(i int) Layout { return l.layoutOf(at + int64(i)) })
}

func (m *meter) addCodes(c *nn.Context, l *forced, t, s outputs, at, n int64) error {
	lt := c.ToDevice(codeLogits(c, t.m, c.Narrow(t.states, 0, at, n)), m.student.Device)
	return m.addRows(c, lt, codeLogits(c, s.m, c.Narrow(s.states, 0, at, n)), 1,
		func(i int) Layout { return l.layoutOf(l.frames[at+int64(i)]) })
}

// addRows adds KL and agreement of logits [n,V], or [n,k,V], to the codebooks from g on; row i is of layout(i).
func (m *meter) addRows(c *nn.Context, teacher, student *ts.Tensor, g int, layout func(i int) Layout) error {
	kl, err := tensor.Floats(klRows(c, teacher, student, 1))
	if err != nil {
		return err
	}
	same, err := tensor.Ints(c.Eq(c.Argmax(teacher, -1), c.Argmax(student, -1)))
	if err != nil {
		return err
	}
	size := c.Shape(teacher)
	k := 1
	if len(size) == 3 {
		k = int(size[1])
	}
	var d *LayoutDivergence
	for i := range kl {
		if i%k == 0 {
			d = m.of(layout(i / k))
		}
		m.KL[g+i%k] += float64(kl[i])
		m.Agreement[g+i%k] += float64(same[i])
		d.KL[g+i%k] += float64(kl[i])
	}
	return nil
}
