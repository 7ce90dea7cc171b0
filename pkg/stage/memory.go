package stage

import (
	"context"
	"fmt"

	"github.com/qakd/qakd/internal/memory"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// Memory is what the distillation stage will take, in bytes.
type Memory struct {
	Teacher    int64 `json:"teacher"`     // weights; with a cache, the heads
	Student    int64 `json:"student"`     // weights as they train, scales, and what is not quantized
	Gradients  int64 `json:"gradients"`   //
	Optimizer  int64 `json:"optimizer"`   // moments, and masters of weights in half precision
	Selection  int64 `json:"selection"`   // the teacher's states of the utterances that choose the checkpoint
	Activation int64 `json:"activations"` // of the largest micro-batch, logits and temporaries included
	Idle       int64 `json:"idle"`        // blocks that are kept for the next tensors: about a sixteenth of these, 128 MiB at most
	Process    int64 `json:"process"`     // libraries and the program itself
	Total      int64 `json:"total"`
	Cache      int64 `json:"cache_on_disk,omitempty"`

	Frames int    `json:"frames"` // of that micro-batch
	Rows   int    `json:"rows"`   // utterances × the longest
	Note   string `json:"note,omitempty"`

	accumulates bool // some update has several micro-batches
	teacher     gotch.DType
}

// Memory estimates what training the student of source takes. Weights, gradients and states are counted; activations are
// measured, on a model of one and of two blocks of each decoder with random weights, over the training's largest
// micro-batch: what runs is what will run. m is the model, without storage.
func (r *Run) Memory(ctx context.Context, m *talker.Model, plan *qat.Plan) (*Memory, error) {
	out := &Memory{}
	if r.dataless() {
		if err := out.weigh(r.Experiment, m, plan); err != nil {
			return nil, err
		}
		out.Note = noData
		out.sum()
		return out, nil
	}
	batch, err := r.survey(out, m)
	if err != nil {
		return nil, err
	}
	return out, out.measure(ctx, r.Experiment, m, plan, batch)
}

// MemoryOf is Run.Memory for updates of one micro-batch us each, and without held-out utterances.
func (e Experiment) MemoryOf(ctx context.Context, m *talker.Model, plan *qat.Plan, us []data.Utterance) (*Memory, error) {
	out := &Memory{}
	n, err := extent(m.Config, us, false)
	if err != nil {
		return nil, err
	}
	out.Rows, out.Frames = n.rows, n.frames
	return out, out.measure(ctx, e, m, plan, us)
}

// measure fills in everything for a largest micro-batch.
func (x *Memory) measure(ctx context.Context, e Experiment, m *talker.Model, plan *qat.Plan, us []data.Utterance) error {
	x.Process, x.Note = process()
	err := x.weigh(e, m, plan)
	if err != nil {
		return err
	}
	if x.Activation, err = e.rehearse(ctx, m.Config, us); err != nil {
		return fmt.Errorf("estimate of memory: %w", err)
	}
	if again := size(m.TextEmbedding, m.DType); x.accumulates && !m.TextEmbedding.W.Frozen {
		x.Activation = max(x.Activation, again) // its gradient is dense, and exists twice while it is added
	}
	x.sum()
	return nil
}

// sum adds up. Where an update has one micro-batch, gradients grow while activations shrink: the larger counts.
func (x *Memory) sum() {
	x.Total = x.Teacher + x.Student + x.Optimizer + x.Selection
	if x.accumulates {
		x.Total += x.Gradients + x.Activation
	} else {
		x.Total += max(x.Gradients, x.Activation)
	}
	x.Idle = idle(x.Total)
	x.Total += x.Idle + x.Process
}

const noData = "activations depend on the data, which are not there"

// dataless tells whether the experiment's own data are not there.
func (r *Run) dataless() bool { return r.Experiment.Model != "" && r.lists == nil }

// process is the bytes of this process as it is, or why the system does not tell.
func process() (bytes int64, note string) {
	u, err := memory.Now()
	if err != nil {
		return 0, err.Error()
	}
	return u.Anonymous, ""
}

// idle is the bytes of blocks that are kept for the next tensors.
func idle(total int64) int64 { return min(total/16, 128<<20) }

// size is the bytes of m's parameters in dtype.
func size(m nn.Module, dtype gotch.DType) (n int64) {
	for _, p := range nn.Params(m) {
		n += p.NumElements() * tensor.ElementSize(dtype)
	}
	return n
}

// weigh counts parameters and what goes with them.
func (x *Memory) weigh(e Experiment, m *talker.Model, plan *qat.Plan) (err error) {
	if x.teacher, err = e.TeacherType(); err != nil {
		return err
	}
	dtype, err := e.TensorType()
	if err != nil {
		return err
	}
	m.DType = dtype
	x.Teacher = size(m, x.teacher)
	if e.Distill.Cache.On() {
		x.Teacher = size(m.CodecHead, x.teacher) + size(nn.Group(m.Predictor.Heads), x.teacher)
	}
	quantized := map[string]bool{}
	add := func(shape []int64, dtype gotch.DType, trained bool) {
		n := tensor.ElementSize(dtype)
		for _, d := range shape {
			n *= d
		}
		x.Student += n
		if trained {
			x.Gradients += n
			x.Optimizer += e.Train.Optim.StateBytes([][]int64{shape}, dtype)
		}
	}
	masters := gotch.Float
	if e.Quant.Masters == "bfloat16" {
		masters = gotch.BFloat16
	}
	for _, l := range append(plan.Layers[:len(plan.Layers):len(plan.Layers)], plan.Tables...) {
		quantized[l.Path+".weight"] = true
		add([]int64{l.Out, l.In}, masters, true)
		rows, groups, err := l.Weight.ParamShape(l.Out, l.In)
		if err != nil {
			return err
		}
		scales := 1
		if !l.Weight.Symmetric {
			scales = 2
		}
		for range scales {
			add([]int64{rows, groups}, gotch.Float, e.Quant.LearnScales && e.Train.Optim.ScaleLR > 0)
		}
	}
	for _, p := range nn.Params(m) {
		if !quantized[p.Name] {
			add(p.Shape, dtype, !p.Frozen)
		}
	}
	return nil
}

// Table is the estimate for a person.
func (x *Memory) Table() *report.Table {
	t := &report.Table{Title: "memory of the distillation, estimated", Columns: []string{"what", "bytes"}}
	if x.Rows > 0 {
		t.Title += fmt.Sprintf("; largest micro-batch: %d frames, %d rows", x.Frames, x.Rows)
	}
	for _, row := range []struct {
		what string
		n    int64
	}{
		{"teacher", x.Teacher}, {"student: weights as they train, scales", x.Student}, {"gradients", x.Gradients},
		{"optimizer: moments, masters", x.Optimizer}, {"held-out states of the teacher", x.Selection},
		{"activations, logits, temporaries", x.Activation}, {"kept for the next tensors", x.Idle}, {"process", x.Process},
	} {
		if row.n > 0 {
			t.Add(row.what, report.Bytes(row.n))
		}
	}
	total := "total"
	switch {
	case x.Activation == 0:
		total = "total without activations"
	case !x.accumulates:
		total = "total, with the larger of gradients and activations"
	}
	t.Add(total, report.Bytes(x.Total))
	if x.Cache > 0 {
		t.Add("teacher cache, on disk", report.Bytes(x.Cache))
	}
	if x.Note != "" {
		t.Add("note", x.Note)
	}
	return t
}
