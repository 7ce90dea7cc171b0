package stage

import (
	"context"
	"os"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch"
)

// rehearse measures what a pass over us takes beside parameters and gradients, on models with few blocks: each further
// block of a decoder takes what the second one did.
func (e Experiment) rehearse(ctx context.Context, cfg *talker.Config, us []data.Utterance) (int64, error) {
	var took [3]int64
	for i, blocks := range [3][2]int{{1, 1}, {2, 1}, {1, 2}} {
		var err error
		if took[i], err = e.pass(ctx, shallow(cfg, blocks[0], blocks[1]), spoken(us)); err != nil {
			return 0, err
		}
		tensor.Trim()
	}
	more := func(second int64, layers int) int64 { return max(0, second-took[0]) * int64(layers-1) }
	return took[0] + more(took[1], cfg.Talker.Layers) + more(took[2], cfg.Talker.Predictor.Layers), nil
}

// words is the text vocabulary of a rehearsal, the line break among them: the table is counted, not rehearsed.
const words = 512

// shallow is cfg with few blocks and words.
func shallow(cfg *talker.Config, layers, predictor int) *talker.Config {
	c := *cfg
	c.Talker.Layers, c.Talker.Predictor.Layers, c.Talker.TextVocab = layers, predictor, words
	c.Talker.TextKept = 0
	for i, id := range []*int32{&c.ImStart, &c.ImEnd, &c.Assistant, &c.PadText, &c.BosText, &c.EosText} {
		*id = int32(words - 1 - i)
	}
	return &c
}

// spoken are utterances of the same size with other words.
func spoken(us []data.Utterance) []data.Utterance {
	few := func(ids []int32) []int32 {
		out := make([]int32, len(ids))
		for i, id := range ids {
			out[i] = id % (words / 2)
		}
		return out
	}
	out := make([]data.Utterance, len(us))
	for i, u := range us {
		u.Text, u.Instruct, u.RefText = few(u.Text), few(u.Instruct), few(u.RefText)
		out[i] = u
	}
	return out
}

// pass runs a student of cfg forward and backward twice and returns the most that the second time took on top.
func (e Experiment) pass(ctx context.Context, cfg *talker.Config, us []data.Utterance) (took int64, err error) {
	dtype, err := e.TensorType()
	if err != nil {
		return 0, err
	}
	teacherType, err := e.TeacherType()
	if err != nil {
		return 0, err
	}
	teacher, err := random(cfg, teacherType)
	if err != nil {
		return 0, err
	}
	defer teacher.Close()
	student, err := random(cfg, dtype)
	if err != nil {
		return 0, err
	}
	defer student.Close()
	if _, err := qat.Prepare(student, e.Quant); err != nil {
		return 0, err
	}
	if err := e.uncalibrated(student); err != nil {
		return 0, err
	}
	objective, done, err := e.rehearsal(ctx, teacher, student, us)
	if err != nil {
		return 0, err
	}
	defer done()
	var params []*nn.Param
	for _, p := range nn.Params(student) {
		if !p.Frozen {
			params = append(params, p)
		}
		if err := tensor.RequireGrad(p.T, !p.Frozen); err != nil {
			return 0, err
		}
	}
	for range 2 {
		before := tensor.ResetHeld()
		if err := train.Backward(objective, us, e.Train.GradientCheckpointing); err != nil {
			return 0, err
		}
		_, peak := tensor.Held()
		took = peak - before
	}
	for _, p := range params {
		if err := tensor.ZeroGrad(p.T); err != nil {
			return 0, err
		}
	}
	return took, nil
}

// uncalibrated gives static inputs some scale.
func (e Experiment) uncalibrated(student *talker.Model) error {
	scales := map[string]float32{}
	for _, s := range nn.Slots(student) {
		if l, ok := s.P.(*qat.Linear); ok && l.InputScale != nil {
			scales[s.Path] = 0.1
		}
	}
	if len(scales) == 0 {
		return nil
	}
	return qat.SetInputScales(student, scales)
}

// rehearsal is the objective, with a cache of us where there will be one.
func (e Experiment) rehearsal(ctx context.Context, teacher, student *talker.Model, us []data.Utterance) (*distill.Objective, func(), error) {
	cfg := e.Distill
	if !cfg.Cache.On() {
		o, err := distill.New(teacher, student, cfg)
		return o, func() {}, err
	}
	dir, err := os.MkdirTemp("", "rehearsal-")
	if err != nil {
		return nil, nil, err
	}
	cfg.Cache.Check = 0
	cache, err := distill.NewCache(ctx, dir, teacher, "", cfg, func(yield func([]data.Utterance, error) bool) { yield(us, nil) }, nil)
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, err
	}
	o, err := distill.NewCached(cache, student, cfg)
	return o, func() { cache.Close(); os.RemoveAll(dir) }, err
}

// random is a model of cfg with random weights.
func random(cfg *talker.Config, dtype gotch.DType) (*talker.Model, error) {
	m, err := talker.New(cfg)
	if err != nil {
		return nil, err
	}
	m.SetDType(dtype)
	if err = nn.Init(m, 1, 0.02); err == nil {
		err = nn.Copy(m, m, dtype)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}
