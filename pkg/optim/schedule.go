package optim

import "math"

// Schedule is a linear warm-up followed by half a cosine. It is a closed form of the step: nothing to save.
type Schedule struct {
	WarmupSteps int     `toml:"warmup_steps"` // updates until the peak rate; 0 starts with it
	MinLRRatio  float64 `toml:"min_lr_ratio"` // rate after the last update / peak rate, in [0, 1]; 1 keeps the peak
}

// Factor multiplies the peak rate of update k = 0, 1, … of n. With W warm-up steps and ratio r it is
//
//	(k+1)/W                                          k < W
//	r + (1-r)·(1 + cos(π·(k-W)/(n-W)))/2             W ≤ k < n
//	r                                                k ≥ n
func (s Schedule) Factor(k, n int) float64 {
	switch {
	case k < s.WarmupSteps:
		return float64(k+1) / float64(s.WarmupSteps)
	case k >= n:
		return s.MinLRRatio
	}
	progress := float64(k-s.WarmupSteps) / float64(n-s.WarmupSteps)
	return s.MinLRRatio + (1-s.MinLRRatio)*(1+math.Cos(math.Pi*progress))/2
}
