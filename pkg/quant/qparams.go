package quant

import "fmt"

// QParams are the scales and zero points of one weight: Rows x Groups of them, row-major ([WeightScheme.ParamShape]).
type QParams struct {
	Rows, Groups int64
	Scale        []float32 // on the scale grid
	ZeroPoint    []int32   // nil when symmetric, else 0...15 (0...255 for 8 bits)
}

// Validate checks the parameters against the weight [n, k] and the scheme they are for: counts, grid, range.
func (p QParams) Validate(sch WeightScheme, n, k int64) error {
	rows, groups, err := sch.ParamShape(n, k)
	if err != nil {
		return err
	}
	if p.Rows != rows || p.Groups != groups || int64(len(p.Scale)) != rows*groups {
		return fmt.Errorf("quant: scales [%d, %d] (%d values), want [%d, %d] for %v of weight [%d, %d]",
			p.Rows, p.Groups, len(p.Scale), rows, groups, sch, n, k)
	}
	for i, s := range p.Scale {
		if !OnGrid(s) {
			return fmt.Errorf("quant: scale [%d, %d] is %v, not on the scale grid", int64(i)/groups, int64(i)%groups, s)
		}
	}
	if sch.Symmetric != (p.ZeroPoint == nil) || p.ZeroPoint != nil && len(p.ZeroPoint) != len(p.Scale) {
		return fmt.Errorf("quant: %d zero points for %d scales of %v", len(p.ZeroPoint), len(p.Scale), sch)
	}
	for i, z := range p.ZeroPoint {
		if z < sch.QMin() || z > sch.QMax() {
			return fmt.Errorf("quant: zero point [%d, %d] is %d, want %d...%d", int64(i)/groups, int64(i)%groups, z, sch.QMin(), sch.QMax())
		}
	}
	return nil
}

// each calls f for every group of the weight [n, k]: the index j of its parameters and its elements [from, to). The
// weights that share parameters are consecutive in every granularity.
func (p QParams) each(n, k int64, f func(j, from, to int64)) {
	width := n * k / int64(len(p.Scale))
	for j := range int64(len(p.Scale)) {
		f(j, j*width, (j+1)*width)
	}
}

// zero is the zero point of index i, 0 when symmetric.
func (p QParams) zero(i int64) int32 {
	if p.ZeroPoint == nil {
		return 0
	}
	return p.ZeroPoint[i]
}
