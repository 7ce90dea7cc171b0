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

// at is the index of the parameters of weight (row, col) of k columns.
func (p QParams) at(row, col, k int64) int64 {
	if p.Rows == 1 {
		row = 0
	}
	return row*p.Groups + col/(k/p.Groups)
}

// zero is the zero point of index i, 0 when symmetric.
func (p QParams) zero(i int64) int32 {
	if p.ZeroPoint == nil {
		return 0
	}
	return p.ZeroPoint[i]
}
