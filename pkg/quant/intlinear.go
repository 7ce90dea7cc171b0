package quant

import "fmt"

// LinearInt is the definition of the integer layer (doc.go): activation codes xq [k] with the scale sx of their token,
// weight codes wq [n, k] with their parameters, optional bias [n]; returns y [n] in float32. The int32 sums of a group
// are exact for up to 2^31/(128*255) = 65792 inputs of 8-bit codes.
//
// A faster implementation must give the same int32 sums and add the groups in the same order.
func LinearInt(xq []int16, sx float32, wq []int16, n, k int64, p QParams, sch WeightScheme, bias []float32) ([]float32, error) {
	if err := p.Validate(sch, n, k); err != nil {
		return nil, err
	}
	if int64(len(xq)) != k || int64(len(wq)) != n*k || bias != nil && int64(len(bias)) != n {
		return nil, fmt.Errorf("quant: %d activation codes, %d weight codes, %d biases for a weight [%d, %d]", len(xq), len(wq), len(bias), n, k)
	}
	y, width := make([]float32, n), k/p.Groups
	for row := range n {
		var sum float32
		for g := range p.Groups {
			j := min(row, p.Rows-1)*p.Groups + g
			z, acc := p.zero(j), int32(0)
			for c := g * width; c < (g+1)*width; c++ {
				acc += int32(xq[c]) * (int32(wq[row*k+c]) - z)
			}
			sum += float32(float32(acc) * p.Scale[j]) // the conversion forbids a fused multiply-add
		}
		y[row] = float32(sx * sum)
		if bias != nil {
			y[row] += bias[row]
		}
	}
	return y, nil
}
