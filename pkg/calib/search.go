package calib

import (
	"fmt"

	"github.com/qakd/qakd/internal/native/lattice"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/quant"
)

// kernels are the fastest that this CPU has, on as many threads as libtorch's operations.
func kernels() lattice.Set {
	s, err := lattice.SetOf("", tensor.Threads())
	if err != nil {
		panic(err) // unreachable: there is always a portable set
	}
	return s
}

// latticeOf is w [n, k] under a scheme, and room for its parameters.
func latticeOf(w []float32, n, k int64, sch quant.WeightScheme) (lattice.Weight, quant.QParams, error) {
	rows, groups, err := sch.ParamShape(n, k)
	if err != nil {
		return lattice.Weight{}, quant.QParams{}, err
	}
	p := quant.QParams{Rows: rows, Groups: groups, Scale: make([]float32, rows*groups)}
	if !sch.Symmetric {
		p.ZeroPoint = make([]int32, rows*groups)
	}
	return lattice.Weight{
		W: w, K: k, Width: n * k / (rows * groups), QMin: sch.QMin(), QMax: sch.QMax(), Symmetric: sch.Symmetric,
	}, p, nil
}

// Nearest is round-to-nearest: the parameters of w [n, k] by a rule, those of quant.InitQParams to the bit, and the codes
// less the scheme's smallest. A value that is not finite is an error that names its place.
func Nearest(w []float32, n, k int64, sch quant.WeightScheme, rule quant.ScaleMethod) (quant.QParams, []byte, error) {
	return nearest(w, n, k, sch, rule, make([]byte, n*k))
}

func nearest(w []float32, n, k int64, sch quant.WeightScheme, rule quant.ScaleMethod, codes []byte) (quant.QParams, []byte, error) {
	if sch.Symmetric == (rule == quant.MinMax) {
		return quant.QParams{}, nil, fmt.Errorf("calib: scale method %v with scheme %v", rule, sch)
	}
	if n < 1 || k < 1 || int64(len(w)) != n*k {
		return quant.QParams{}, nil, fmt.Errorf("calib: %d values for a weight [%d, %d]", len(w), n, k)
	}
	lw, p, err := latticeOf(w, n, k, sch)
	if err != nil {
		return quant.QParams{}, nil, err
	}
	if at := kernels().Nearest(lw, lattice.Rule(rule), p.Scale, p.ZeroPoint, codes); at >= 0 {
		return quant.QParams{}, nil, fmt.Errorf("calib: weight [%d, %d] is %v, want finite values", at/k, at%k, w[at])
	}
	return p, codes, nil
}

// bestQParams finds the scales (and zero points) of w [n, k] with the least weighted squared error, each (row, group) on
// its own; h [k] is how much the columns' errors count. blocks, unless nil, is a quadratic form in the place of h: see
// Gram.blocks.
func bestQParams(w []float32, h []float64, blocks []float32, n, k int64, sch quant.WeightScheme, cfg Config) (quant.QParams, error) {
	lw, p, err := latticeOf(w, n, k, sch)
	if err != nil {
		return quant.QParams{}, err
	}
	kernels().Search(lw, lattice.Search{H: h, Blocks: blocks, Points: cfg.GridPoints, GridMin: cfg.GridMin, GridMax: cfg.GridMax}, p.Scale, p.ZeroPoint)
	return p, nil
}

// halfQuadratic fits scales and zero points to w [n, k] by HQQ (Badri and Shaji 2023, "Half-Quadratic Quantization"):
// of each group,
//
//	min over (s, z) of   sum_k |w_k - value_k(s, z)|^p,   p < 1
//
// which cares little for the few weights that are clipped. An auxiliary error e turns it into two steps that alternate,
// e = shrink(w - value, beta), then (s, z) of least squares on w - e, while beta grows (their equations 4 to 7). Theirs is
// a real zero point, and the scale stays; here zero points are codes, which a mean shift below half a step never moves.
// So the scale is fitted too, and the alternation is begun from several clip ranges. The norm alone would give up the largest
// weights, which are few but carry much of an output: of what loses no more than the whole range does, in the norm and in
// squares, the least product of the two lengths wins. The paper needs no data: h [k] is 1. Else it is how much the columns'
// errors count, in all sums; the shrinking is the same.
func halfQuadratic(w []float32, h []float64, n, k int64, sch quant.WeightScheme, cfg HQQ) (quant.QParams, error) {
	lw, p, err := latticeOf(w, n, k, sch)
	if err != nil {
		return quant.QParams{}, err
	}
	how := lattice.HalfQuadratic{H: h, P: cfg.P, Beta: cfg.Beta, Growth: cfg.Growth, Rounds: cfg.Rounds, Starts: cfg.Starts, Least: cfg.Least}
	kernels().HQQ(lw, how, p.Scale, p.ZeroPoint)
	return p, nil
}

// Codes are those of rounding w to nearest under p, less the scheme's smallest.
func Codes(w Weight, p quant.QParams) ([]byte, error) {
	if err := p.Validate(w.Scheme, w.Out, w.In); err != nil {
		return nil, err
	}
	lw, _, err := latticeOf(w.W, w.Out, w.In, w.Scheme)
	if err != nil {
		return nil, err
	}
	codes := make([]byte, len(w.W))
	kernels().Codes(lw, p.Scale, p.ZeroPoint, codes)
	return codes, nil
}
