package calib_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
)

// normed is an MLP behind a norm: where scales of channels can move.
type normed struct {
	norm *nn.RMSNorm
	mlp  *nn.MLP
}

func (m normed) Visit(v nn.Visitor) { m.norm.Visit(v); m.mlp.Visit(v) }

func (m normed) watch(p *calib.Pass, b batch) error {
	p.Keep(b.mask, b.b, b.t)
	m.mlp.Forward(p.Context, m.norm.Forward(p.Context, p.FromFloats(b.x, int64(b.b), int64(b.t), width)))
	return nil
}

func newNormed(t *testing.T) (normed, []calib.Fold) {
	m := normed{nn.NewRMSNorm("model.norm", width, 1e-6), load(t)}
	if err := nn.Init(m.norm, 1, 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nn.Close(m.norm) })
	up, all := m.mlp.GateUp[1], make([]int64, inner)
	for i := range all {
		all[i] = int64(i)
	}
	return m, []calib.Fold{
		{Path: "model.norm", Gain: m.norm.W, Readers: m.mlp.GateUp},
		{Path: up.Path, Writer: up, Row: all, Readers: []*nn.Slot{m.mlp.Down}},
	}
}

// twice doubles an input, as a stand-in for a transform.
type twice struct{}

func (twice) Visit(nn.Visitor) {}

func (twice) Apply(c *nn.Context, x *ts.Tensor) *ts.Tensor { return c.MulScalar(x, 2) }

// Static scales of a second pass are those of a model whose weights have been folded, for every observer; ranges need none.
func TestCollectFoldedIsTheFoldedModel(t *testing.T) {
	m, folds := newNormed(t)
	m.mlp.Down.Transform = twice{}
	data := each(inputs(41, 2, 40), inputs(42, 2, 30), inputs(43, 1, 50))
	w4a8 := func(string) (quant.WeightScheme, quant.ActivationScheme) {
		return quant.DefaultWeightScheme(), quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}
	}
	cfg := config()
	cfg.Fold, cfg.Percentile = calib.FoldAWQ, 99
	ctx, slots := context.Background(), nn.Slots(m)
	stats, err := calib.Collect(ctx, slots, data, m.watch, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	if _, err := calib.Fit(stats, slots, w4a8, cfg, folds...); err == nil || !strings.Contains(err.Error(), "observe them by CollectFolded") {
		t.Errorf("error %v of one pass", err)
	}
	found, err := calib.FitFolds(stats, w4a8, cfg, folds...)
	if err != nil {
		t.Fatal(err)
	}
	if err := calib.CollectFolded(ctx, stats, slots, data, m.watch, w4a8, cfg, found...); err != nil {
		t.Fatal(err)
	}
	got := map[calib.ObserverKind]*calib.Result{}
	kinds := []calib.ObserverKind{calib.ObserveMinMax, calib.ObserveMovingAverage, calib.ObservePercentile, calib.ObserveMSE, calib.ObserveEntropy}
	for _, kind := range kinds {
		cfg.Observer = kind
		if got[kind], err = calib.Fit(stats, slots, w4a8, cfg, found...); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range found {
		if f.Scale == nil {
			t.Fatalf("no scale of %s", f.Path)
		}
		if err := f.Apply(f.Scale); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Fold = calib.FoldNone
	folded, err := calib.Collect(ctx, slots, data, m.watch, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer folded.Close()
	for _, kind := range kinds {
		cfg.Observer = kind
		want, err := calib.Fit(folded, slots, w4a8, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for path, s := range want.Inputs {
			if off := math.Abs(float64(got[kind].Inputs[path]/s) - 1); off > 1./256 { // one step of the scale grid
				t.Errorf("%s: %s: scale %v, that of the folded model %v", kind, path, got[kind].Inputs[path], s)
			}
		}
		if len(got[kind].Inputs) != 3 {
			t.Errorf("%s: %d scales, want 3", kind, len(got[kind].Inputs))
		}
	}
	for i, row := range got[calib.ObserveMSE].Report.Rows {
		if row.InputSQNR < 10 || row.Percentile == 0 {
			t.Errorf("row %d: SQNR %v dB, percentile %v of rescaled inputs", i, row.InputSQNR, row.Percentile)
		}
	}
}

// Nothing is run again where ranges are enough, or no scale is static.
func TestCollectFoldedRunsOnlyWhereItMust(t *testing.T) {
	m, folds := newNormed(t)
	cfg := config()
	cfg.Fold = calib.FoldSmoothQuant
	ctx, slots := context.Background(), nn.Slots(m)
	stats, err := calib.Collect(ctx, slots, each(inputs(44, 2, 40)), m.watch, cfg)
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	watch := func(p *calib.Pass, b batch) error { runs++; return m.watch(p, b) }
	for _, c := range []struct {
		sch  func(string) (quant.WeightScheme, quant.ActivationScheme)
		kind calib.ObserverKind
		want int
	}{{asymmetric, calib.ObserveMSE, 0}, {w4a4, calib.ObserveMinMax, 0}, {w4a4, calib.ObserveMSE, 1}} {
		cfg.Observer, runs = c.kind, 0
		found, err := calib.FitFolds(stats, c.sch, cfg, folds...)
		if err != nil {
			t.Fatal(err)
		}
		if err := calib.CollectFolded(ctx, stats, slots, each(inputs(44, 2, 40)), watch, c.sch, cfg, found...); err != nil {
			t.Fatal(err)
		}
		if runs != c.want {
			t.Errorf("observer %s: %d batches were run again, want %d", c.kind, runs, c.want)
		}
		if _, err := calib.Fit(stats, slots, c.sch, cfg, found...); err != nil {
			t.Error(err)
		}
	}
	cfg.Fold = calib.FoldAWQ
	if _, err := calib.FitFolds(stats, w4a4, cfg, folds...); err == nil || !strings.Contains(err.Error(), "without how channels go together") {
		t.Errorf("error %v of statistics without Gram matrices", err)
	}
}
