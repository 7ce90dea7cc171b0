package optim

import "github.com/qakd/qakd/pkg/nn"

// Group is a set of parameters that are updated alike.
type Group struct {
	Name        string
	Params      []*nn.Param
	LR          float64 // peak rate
	WeightDecay float64
}

// Groups sorts the parameters that are not frozen: "weights" (drawn at random where they are initialized: matrices and
// embeddings), which alone decay unless DecayAll says otherwise, "gains" (norms, biases) and "scales", which have a rate of their own. A group without
// parameters or with rate 0 is left out: its parameters are not trained.
func Groups(params []*nn.Param, cfg Config) []Group {
	weights := Group{Name: "weights", LR: cfg.LR, WeightDecay: cfg.WeightDecay}
	gains := Group{Name: "gains", LR: cfg.LR}
	if cfg.DecayAll {
		gains.WeightDecay = cfg.WeightDecay
	}
	scales := Group{Name: "scales", LR: cfg.ScaleLR}
	for _, p := range params {
		g := &gains
		switch {
		case p.Frozen:
			continue
		case p.Scale:
			g = &scales
		case p.Initial == nn.Normal:
			g = &weights
		}
		g.Params = append(g.Params, p)
	}
	var out []Group
	for _, g := range []Group{weights, gains, scales} {
		if len(g.Params) > 0 && g.LR > 0 {
			out = append(out, g)
		}
	}
	return out
}
