package quant

import "fmt"

// Fit is the scheme that a layer of width k really gets, and a note when that is not the one asked for. A group size
// that divides k stays. Otherwise, with fallback: the largest divisor of k between 32 and the size asked for, else per
// channel. Without fallback that is an error that names the layer.
func (s WeightScheme) Fit(layer string, k int64, fallback bool) (fitted WeightScheme, note string, err error) {
	if s.Granularity != PerGroup || s.GroupSize > 0 && k%s.GroupSize == 0 {
		return s, "", nil
	}
	if !fallback {
		return s, "", fmt.Errorf("quant: group_size %d does not divide in_features %d of %s", s.GroupSize, k, layer)
	}
	fitted = s
	for g := s.GroupSize - 1; g >= 32; g-- {
		if k%g == 0 {
			fitted.GroupSize = g
			return fitted, fmt.Sprintf("group_size %d does not divide %d: %d used", s.GroupSize, k, g), nil
		}
	}
	fitted.Granularity, fitted.GroupSize = PerChannel, 0
	return fitted, fmt.Sprintf("group_size %d and no smaller one down to 32 divides %d: per_channel used", s.GroupSize, k), nil
}
