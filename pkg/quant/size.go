package quant

// Size is the number of bytes that a weight [n, k] takes when stored: codes, fp16 or bf16 scales, zero points; file
// headers and the 16 bytes of weight_shape are not counted.
func (s WeightScheme) Size(n, k int64) (bytes int64, err error) {
	rows, groups, err := s.ParamShape(n, k)
	if err != nil {
		return 0, err
	}
	per := s.PerWord()
	bytes = n*((k+per-1)/per)*4 + rows*groups*2
	switch {
	case s.Symmetric:
	case s.Granularity == PerTensor:
		bytes++
	default:
		bytes += (rows + per - 1) / per * groups * 4
	}
	return bytes, nil
}

// BitsPerWeight is Size in bits over the number of weights: 4.5 for symmetric INT4 in groups of 32, 4.625 asymmetric.
func (s WeightScheme) BitsPerWeight(n, k int64) (float64, error) {
	bytes, err := s.Size(n, k)
	return float64(bytes*8) / float64(n*k), err
}
