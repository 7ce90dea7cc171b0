package stage

import (
	"context"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
)

// fitted fits the student of plan to the statistics of us. Where channels are rescaled and inputs have static scales, the
// teacher reads us once more, now that the folds are known.
func (r *Run) fitted(ctx context.Context, stats *calib.Statistics, slots []*nn.Slot, us []data.Utterance, plan *qat.Plan, cfg calib.Config) (*calib.Result, error) {
	places := folds(r.Teacher)
	if cfg.Fold != calib.FoldNone {
		var err error
		if places, err = calib.FitFolds(stats, plan.Scheme, cfg, places...); err != nil {
			return nil, err
		}
		if err := calib.CollectFolded(ctx, stats, slots, batches(us, r.Experiment.Eval.Batch), r.watch, plan.Scheme, cfg, places...); err != nil {
			return nil, err
		}
	}
	return calib.Fit(stats, slots, plan.Scheme, cfg, places...)
}
