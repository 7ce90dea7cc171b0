package stage

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/eval"
	"github.com/qakd/qakd/pkg/packed"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
)

// BaselinesDir holds the packed baselines that the summary compares with.
const BaselinesDir = "baselines"

// Evaluate measures the teacher, the baselines and the packed student on held-out data, each as a checkpoint that was
// written and read back, and writes <run>/summary.json.
func (r *Run) Evaluate(ctx context.Context) (*Summary, error) {
	if !r.has(PackedDir) {
		return nil, fmt.Errorf("%s is not there: run the distill stage first", r.path(PackedDir))
	}
	if err := r.present(); err != nil {
		return nil, err
	}
	res, err := r.Calibrate(ctx) // reads what is there
	if err != nil {
		return nil, err
	}
	bench, err := r.bench(ctx)
	if err != nil {
		return nil, err
	}
	defer bench.Close()
	s := &Summary{Experiment: r.Name, Seed: r.Experiment.Seed}
	teacher, err := bench.Row(ctx, RowTeacher, r.Teacher)
	if err != nil {
		return nil, err
	}
	if teacher.Bytes, err = talkerBytes(r.source); err != nil {
		return nil, err
	}
	plan, err := qat.NewPlan(r.Teacher, r.Experiment.Quant)
	if err != nil {
		return nil, err
	}
	if teacher.BitsPerWeight, err = storedBits(r.source, plan); err != nil {
		return nil, err
	}
	s.Rows = append(s.Rows, teacher)
	rule, err := r.betterRule(ctx, res)
	if err != nil {
		return nil, err
	}
	s.INT4Rule = rule.String()
	rows := []baseline{
		{RowINT8, func() (string, error) { return r.roundToNearest(RowINT8, wide(r.Experiment.Quant), res) }},
		{RowINT4, func() (string, error) { return r.roundToNearest(RowINT4, ruled(r.Experiment.Quant, rule), res) }},
		{RowCalibrated, func() (string, error) { return r.packBaseline(RowCalibrated, CalibratedDir) }},
	}
	if r.Experiment.Blockwise.Epochs > 0 {
		rows = append(rows, baseline{RowBlockwise, func() (string, error) { return r.packBaseline(RowBlockwise, BlockwiseDir) }})
	}
	rows = append(rows, baseline{RowDistilled, func() (string, error) { return r.path(PackedDir), nil }})
	for _, row := range rows {
		r.logf("evaluate: %s", row.name)
		dir, err := row.make()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", row.name, err)
		}
		measured, err := r.measure(ctx, bench, row.name, dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", row.name, err)
		}
		s.Rows = append(s.Rows, measured)
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	if s.Speed, err = r.speeds(ctx); err != nil {
		return nil, fmt.Errorf("speed: %w", err)
	}
	if s.PeakMiB, err = peakMiB(); err != nil {
		return nil, err
	}
	s.Seconds = time.Since(r.began).Seconds()
	return s, s.write(r.path(SummaryFile))
}

// baseline is a row of the summary, and how its checkpoint is made.
type baseline struct {
	name string
	make func() (string, error) // the folder
}

// storedBits is what a weight of the plan's layers takes in the float checkpoint at dir.
func storedBits(dir string, plan *qat.Plan) (float64, error) {
	src, err := ckpt.Open(dir)
	if err != nil {
		return 0, err
	}
	defer src.Close()
	var size int64
	for _, l := range plan.Layers {
		info, ok := src.Info(l.Path + ".weight")
		if !ok {
			return 0, fmt.Errorf("%s has no tensor %q", dir, l.Path+".weight")
		}
		size += info.Bytes
	}
	return 8 * float64(size) / float64(max(plan.Params(), 1)), nil
}

// heldOut is what models speak to be measured, and how.
func (r *Run) heldOut() (data.List, talker.Sampling, error) {
	us, err := r.utterances(demo.Evaluation)
	if err != nil {
		return nil, talker.Sampling{}, err
	}
	sampling, err := talker.ReadSampling(r.source)
	sampling.Seed = r.Experiment.Seed
	return us, sampling, err
}

func (r *Run) bench(ctx context.Context) (*eval.Bench, error) {
	us, sampling, err := r.heldOut()
	if err != nil {
		return nil, err
	}
	return eval.NewBench(ctx, r.Teacher, us, sampling, r.Experiment.Eval)
}

// probe is one on the utterances of a part of the data: Selection chooses between students, Evaluation compares them.
func (r *Run) probe(ctx context.Context, part demo.Split) (*distill.Probe, error) {
	us, err := r.utterances(part)
	if err != nil {
		return nil, err
	}
	return distill.NewProbe(ctx, r.Teacher, us, r.Experiment.Eval.Measure())
}

// measure reads the packed checkpoint at dir.
func (r *Run) measure(ctx context.Context, b *eval.Bench, name, dir string) (eval.Row, error) {
	m, err := r.load(dir)
	if err != nil {
		return eval.Row{}, err
	}
	defer tensor.Trim() // decoding leaves blocks of every size
	defer m.Close()
	defer packed.Free(m)
	qat.KeepDense(m, true)
	row, err := b.Row(ctx, name, m)
	if err != nil {
		return row, err
	}
	folder, err := qat.Describe(dir)
	if err != nil {
		return row, err
	}
	row.BitsPerWeight = (&qat.Plan{Layers: folder.Layers}).BitsPerWeight()
	row.Bytes, err = talkerBytes(dir)
	return row, err
}

// wide is the student's configuration with INT8 weights, symmetric per channel.
func wide(cfg qat.Config) qat.Config {
	w8 := quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}
	cfg.Weight, cfg.Init = w8, quant.AbsMax
	cfg.Overrides = slices.Clone(cfg.Overrides)
	for i, o := range cfg.Overrides {
		if o.Weight != nil {
			cfg.Overrides[i].Weight = &w8
		}
	}
	return cfg
}

func ruled(cfg qat.Config, rule quant.ScaleMethod) qat.Config {
	cfg.Init = rule
	return cfg
}

// betterRule is the scale rule for INT4 round-to-nearest with the lower KL on the selection utterances. It packs
// nothing: fake-quantized weights have the same values.
func (r *Run) betterRule(ctx context.Context, res *calib.Result) (quant.ScaleMethod, error) {
	probe, err := r.probe(ctx, demo.Selection)
	if err != nil {
		return 0, err
	}
	defer probe.Close()
	best, least := quant.AbsMaxHalf, 0.0
	for i, rule := range []quant.ScaleMethod{quant.AbsMaxHalf, quant.SignedMax} {
		m, err := r.prepared(ruled(r.Experiment.Quant, rule), res)
		if err != nil {
			return 0, err
		}
		d, err := probe.Measure(ctx, m)
		m.Close()
		if err != nil {
			return 0, err
		}
		if kl := d.NatsPerFrame(); i == 0 || kl < least {
			best, least = rule, kl
		}
	}
	return best, nil
}

// prepared is the teacher with fake-quantized projections, weights rounded to nearest. Static input scales, which
// rounding does not give, are the calibrated ones.
func (r *Run) prepared(cfg qat.Config, res *calib.Result) (*talker.Model, error) {
	m, err := r.load(r.source)
	if err != nil {
		return nil, err
	}
	if _, err = qat.Prepare(m, cfg); err == nil && len(res.Inputs) > 0 {
		err = qat.SetInputScales(m, res.Inputs)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (r *Run) roundToNearest(name string, cfg qat.Config, res *calib.Result) (string, error) {
	dir := r.path(filepath.Join(BaselinesDir, name))
	m, err := r.prepared(cfg, res)
	if err != nil {
		return "", err
	}
	defer m.Close()
	if err := qat.Convert(m); err != nil {
		return "", err
	}
	_, err = qat.SaveCheckpoint(dir, m, qat.SaveOptions{Source: r.source})
	return dir, err
}

func (r *Run) packBaseline(name, entry string) (string, error) {
	dir := r.path(filepath.Join(BaselinesDir, name))
	_, err := r.pack(entry, dir)
	return dir, err
}
