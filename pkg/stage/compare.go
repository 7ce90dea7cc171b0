package stage

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/report"
)

// CompareFile is a comparison's entry in the run folder.
const CompareFile = "comparison.json"

// Compared is one calibration method, measured.
type Compared struct {
	Method     string      `json:"method"`
	KL         float64     `json:"kl"`             // nats per frame: the sum over codebooks
	KLs        []float64   `json:"kl_by_codebook"` // [G]
	Agreements []float64   `json:"agreement"`      // [G], shares of equal best classes
	Output     float64     `json:"output_sqnr"`    // mean over layers of what is left of their outputs, dB
	Seconds    float64     `json:"seconds"`        // of the fit
	Report     []calib.Row `json:"layers"`
}

// AgreementCodes is the mean agreement of codes 1….
func (c Compared) AgreementCodes() float64 { return MeanOf(c.Agreements[1:]).Mean }

// Comparison is a table of calibration methods on the same data and the same evaluation.
type Comparison struct {
	Experiment string     `json:"experiment"`
	Seed       int64      `json:"seed"`
	Scheme     string     `json:"scheme"`
	Rows       []Compared `json:"rows"`
}

// Compare calibrates by each of the methods (calib.Presets) on one pass of the calibration data, and one more through the
// rotated model where there are methods that rotate, measures the fake-quantized
// students on the evaluation utterances, and writes <run>/comparison.json.
func (r *Run) Compare(ctx context.Context, methods []string) (*Comparison, error) {
	configs := make([]calib.Config, len(methods))
	for i, name := range methods {
		var err error
		if configs[i], err = calib.Preset(r.Experiment.Calib, name); err != nil {
			return nil, err
		}
		if err := r.suits(configs[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	us, err := r.utterances(demo.Calibration)
	if err != nil {
		return nil, err
	}
	from, err := r.origin(us)
	if err != nil {
		return nil, err
	}
	of := map[bool]*calibrator{} // by whether they rotate
	defer func() {
		for _, c := range of {
			c.close()
		}
	}()
	probe, err := r.probe(ctx, demo.Evaluation)
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	out := &Comparison{Experiment: r.Name, Seed: r.Experiment.Seed, Scheme: r.Experiment.Quant.Weight.String() + " " + r.Experiment.Quant.Activation.String()}
	for i, name := range methods {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := of[rotates(configs[i])]
		if c == nil {
			seen := configs[i]
			seen.Fold = calib.FoldAWQ // keeps all that any method wants to know
			if c, err = r.calibrator(us, from, seen); err != nil {
				return nil, err
			}
			of[rotates(seen)] = c
		}
		res, took, err := c.fit(ctx, configs[i], false)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		row := Compared{Method: name, Seconds: took.Seconds(), Report: res.Report.Rows}
		if err := r.compare(ctx, probe, res, &row); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		r.logf("compare: %s: KL %.4f nats/frame, fitted in %.1f s", name, row.KL, row.Seconds)
		out.Rows = append(out.Rows, row)
	}
	err = writeJSON(r.path(CompareFile), out)
	for _, c := range of {
		err = errors.Join(err, c.walk.Clear())
	}
	return out, err
}

func (r *Run) compare(ctx context.Context, probe *distill.Probe, res *calib.Result, row *Compared) error {
	m, err := r.calibrated(res)
	if err != nil {
		return err
	}
	defer m.Close()
	d, err := probe.Measure(ctx, m)
	if err != nil {
		return err
	}
	row.KL, row.KLs, row.Agreements = d.NatsPerFrame(), d.KL, d.Agreement
	for _, l := range res.Report.Rows {
		row.Output += l.Damage() / float64(len(res.Report.Rows))
	}
	if math.IsNaN(row.KL) {
		return fmt.Errorf("the student's KL is not a number")
	}
	return nil
}

// Tables of a comparison: methods, and codebooks with KL and agreement.
func (c *Comparison) Tables() []*report.Table {
	methods := &report.Table{
		Title:   fmt.Sprintf("calibration methods on %s, seed %d (%s): held-out, against the teacher", c.Experiment, c.Seed, c.Scheme),
		Columns: []string{"method", "KL nats/frame", "KL code 0", "KL codes 1…", "agree code 0 %", "agree codes 1… %", "layer outputs dB", "fit s"},
	}
	kl := &report.Table{Title: "KL by codebook, nats per frame", Columns: []string{"codebook"}}
	agree := &report.Table{Title: "agreement by codebook, %", Columns: []string{"codebook"}}
	for _, r := range c.Rows {
		methods.Add(r.Method, r.KL, r.KLs[0], r.KL-r.KLs[0], 100*r.Agreements[0], 100*r.AgreementCodes(), r.Output, r.Seconds)
		kl.Columns, agree.Columns = append(kl.Columns, r.Method), append(agree.Columns, r.Method)
	}
	for g := range c.Rows[0].KLs {
		k, a := []any{g}, []any{g}
		for _, r := range c.Rows {
			k, a = append(k, r.KLs[g]), append(a, 100*r.Agreements[g])
		}
		kl.Add(k...)
		agree.Add(a...)
	}
	return []*report.Table{kl, agree, methods}
}
