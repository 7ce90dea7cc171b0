package stage

import (
	"fmt"
	"time"
)

// spent is the time that a part took; collect is 0 where its statistics were there, both are where its result was.
type spent struct{ collect, fit time.Duration }

// progress of a calibration, and when it will be done. The pass over the data goes by rows and weights, the fit by weights:
// both rates are those of the blocks so far.
type progress struct {
	calibrator        *calibrator
	rows, weights     []float64 // of each part
	collect, fit      time.Duration
	collected, fitted float64 // rows × weights, weights
}

func newProgress(c *calibrator) *progress {
	p := &progress{calibrator: c}
	for _, part := range c.walk.Parts {
		var rows, weights int64
		for _, b := range c.walk.Batches {
			rows += part.Rows(b)
		}
		for _, s := range c.slots(part) {
			weights += s.In * s.Out
		}
		if part.Block == nil { // few rows reach what is outside of the blocks
			rows = 0
		}
		p.rows, p.weights = append(p.rows, float64(rows)), append(p.weights, float64(weights))
	}
	return p
}

// report logs what part i took, and what is left.
func (p *progress) report(i int, t spent) {
	if t == (spent{}) {
		p.calibrator.run.logf("calibrate: %d/%d %s: its result is there", i+1, len(p.rows), p.calibrator.walk.Parts[i].Path)
		return
	}
	if t.collect > 0 && p.rows[i] > 0 {
		p.collect, p.collected = p.collect+t.collect, p.collected+p.rows[i]*p.weights[i]
	}
	p.fit, p.fitted = p.fit+t.fit, p.fitted+p.weights[i]
	left := "…"
	if p.collected > 0 || t.collect == 0 {
		left = p.left(i).Round(time.Second).String()
	}
	parts := p.calibrator.walk.Parts
	p.calibrator.run.logf("calibrate: %d/%d %s: statistics %s, fit %s; %s left",
		i+1, len(parts), parts[i].Path, tenths(t.collect), tenths(t.fit), left)
}

// left is what the parts behind i will take.
func (p *progress) left(i int) time.Duration {
	var passes, weights float64
	for j := i + 1; j < len(p.rows); j++ {
		passes, weights = passes+p.rows[j]*p.weights[j], weights+p.weights[j]
	}
	left := weights / p.fitted * float64(p.fit)
	if p.collected > 0 {
		left += passes / p.collected * float64(p.collect)
	}
	return time.Duration(left)
}

func tenths(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
