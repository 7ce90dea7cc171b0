package inspect

import (
	"fmt"
	"strings"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Forward is one teacher-forced batch, stage by stage.
type Forward struct {
	Dir       string     `json:"dir"`
	Kind      string     `json:"kind"`
	Source    string     `json:"source"` // where the rows come from
	DType     string     `json:"dtype"`  // of the activations
	Sequences int        `json:"sequences"`
	Rows      int        `json:"rows"`   // of the longest
	Frames    int        `json:"frames"` // in all
	Stages    []Stage    `json:"stages"`
	Codes     []Codebook `json:"codebooks"`
	// SuppressedMass is the mean probability that the codec head gives to ids that decoding never draws.
	SuppressedMass float64 `json:"suppressed_mass"`
}

// Forward loads the model and runs one small batch: utterances of the demo's language for the demo's models, for others
// rows made from their configuration with a fixed seed. o says on which device and in which dtype.
func (c *Checkpoint) Forward(o talker.Options) (*Forward, error) {
	seqs, source, err := c.sequences()
	if err != nil {
		return nil, err
	}
	b, err := talker.Collate(seqs, talker.PadRight)
	if err != nil {
		return nil, err
	}
	o.Swap = func(m *talker.Model, dir string) error { return qat.FromCheckpoint(m, dir) }
	m, err := talker.Load(c.Dir, o)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	f := &Forward{
		Dir: c.Dir, Kind: c.Kind, Source: source, DType: nn.DTypeName(m.DType),
		Sequences: b.B, Rows: b.T, Frames: len(b.Frame),
	}
	nn.NoGrad(func() {
		err = nn.Run(func(ctx *nn.Context) error { return f.run(ctx, m, b) })
	})
	if err != nil {
		return nil, fmt.Errorf("%s: forward: %w", c.Dir, err)
	}
	return f, nil
}

// run records every stage. Padding rows are left out of the numbers.
func (f *Forward) run(c *nn.Context, m *talker.Model, b *talker.Batch) (err error) {
	var real []int64
	for i, v := range b.Mask {
		if v != 0 {
			real = append(real, int64(i))
		}
	}
	stage := func(name string, x *ts.Tensor, numbers *ts.Tensor) {
		if err == nil {
			err = f.stage(name, c.Shape(x), numbers)
		}
	}
	rows := func(name string, x *ts.Tensor) { stage(name, x, m.Pick(c, x, real)) }
	c.Output = func(path string, y *ts.Tensor) {
		if strings.HasPrefix(path, "talker.code_predictor.") {
			stage(path, y, y)
		} else {
			rows(path, y)
		}
	}
	x := m.Embed(c, b)
	rows("embedded rows", x)
	h := m.Hidden(c, x, m.View(c, b), nil)
	rows("hidden (normed)", h)

	logits := m.CodecHead.Forward(c, m.Pick(c, h, b.TargetRows()))
	stage("logits of code 0", logits, logits)
	N, G := int64(len(b.Frame)), int64(m.Config.Groups())
	codes := c.ToDevice(c.FromInts(b.FrameCodes(), N, G), m.Device)
	in := m.PredictorRows(c, m.Pick(c, h, b.ConditionRows()), codes)
	stage("predictor rows", in, in)
	states := c.Narrow(m.PredictorHidden(c, in), 1, 1, G-1)
	stage("predictor states (normed)", states, states)
	heads := []*ts.Tensor{logits}
	for j := range m.Predictor.Heads {
		y := m.CodeLogit(c, states, j)
		stage(fmt.Sprintf("logits of code %d", j+1), y, y)
		heads = append(heads, y)
	}
	if err != nil {
		return err
	}
	return f.codebooks(c, m, b, heads)
}

// stage records the numbers of one tensor.
func (f *Forward) stage(name string, shape []int64, x *ts.Tensor) error {
	values, err := tensor.Floats(x)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s := summarize(values)
	s.Name, s.Shape = name, shape
	f.Stages = append(f.Stages, s)
	return nil
}

// codebooks compares what each head says with the codes of the batch.
func (f *Forward) codebooks(c *nn.Context, m *talker.Model, b *talker.Batch, heads []*ts.Tensor) error {
	codes, G := b.FrameCodes(), m.Config.Groups()
	for g, logits := range heads {
		labels, width := b.Targets(), m.Config.Talker.Vocab
		if g > 0 {
			labels, width = nil, m.Config.Codebook()
			for n := g; n < len(codes); n += G {
				labels = append(labels, codes[n])
			}
		}
		logp, err := tensor.Floats(c.LogSoftmax(c.To(logits, gotch.Float), -1))
		if err != nil {
			return err
		}
		if g == 0 {
			f.SuppressedMass = suppressedMass(&m.Config.Talker, logp)
		}
		f.Codes = append(f.Codes, codebook(g, logp, int(width), labels))
	}
	return nil
}

// Tables prints the view.
func (f *Forward) Tables() []*report.Table {
	t := &report.Table{
		Title:   fmt.Sprintf("%s: %s; %d sequences of up to %d rows, %d frames, %s", f.Dir, f.Source, f.Sequences, f.Rows, f.Frames, f.DType),
		Columns: []string{"stage", "shape", "mean", "std", "absmax", "not finite"},
	}
	for _, s := range f.Stages {
		t.Add(s.Name, shape(s.Shape), s.Mean, s.Std, s.AbsMax, s.NotFinite)
	}
	return []*report.Table{t, f.codeTable()}
}
