package quant

import "fmt"

// Packed is a quantized weight as it is stored, in the compressed-tensors pack-quantized layout (doc.go, "Storage").
type Packed struct {
	Scheme WeightScheme
	N, K   int64   // the shape of the dense weight
	Words  []int32 // [N, ceil(K/per)], per = 32/Bits codes a word
	Params QParams
}

// PerWord is the number of codes in an int32: 8 or 4.
func (s WeightScheme) PerWord() int64 { return 32 / int64(s.Bits) }

// offset turns a code into the unsigned number that is stored.
func (s WeightScheme) offset() int32 { return -s.QMin() }

// Pack quantizes w [n, k] and packs its codes.
func Pack(w []float32, n, k int64, p QParams, sch WeightScheme) (*Packed, error) {
	q, err := Quantize(w, n, k, p, sch)
	if err != nil {
		return nil, err
	}
	words, err := PackCodes(q, n, k, sch)
	if err != nil {
		return nil, err
	}
	return &Packed{Scheme: sch, N: n, K: k, Words: words, Params: p}, nil
}

// Codes are the codes of the packed weight, [N, K] row-major.
func (p *Packed) Codes() ([]int16, error) { return UnpackCodes(p.Words, p.N, p.K, p.Scheme) }

// Dequantize is the dense weight [N, K]: the same bits as FakeQuantize of the weight that was packed.
func (p *Packed) Dequantize() ([]float32, error) {
	q, err := p.Codes()
	if err != nil {
		return nil, err
	}
	return Dequantize(q, p.N, p.K, p.Params, p.Scheme)
}

// PackCodes packs codes [n, k] along the columns: word (r, c) holds column c*PerWord+j in bits Bits*j and up. Columns
// beyond k are 0.
func PackCodes(q []int16, n, k int64, sch WeightScheme) ([]int32, error) {
	if int64(len(q)) != n*k {
		return nil, fmt.Errorf("quant: %d codes for a weight [%d, %d]", len(q), n, k)
	}
	per := sch.PerWord()
	width := (k + per - 1) / per
	words := make([]int32, n*width)
	for row := range n {
		for col, c := range q[row*k : (row+1)*k] {
			if int32(c) < sch.QMin() || int32(c) > sch.QMax() {
				return nil, fmt.Errorf("quant: code [%d, %d] is %d, want %d...%d", row, col, c, sch.QMin(), sch.QMax())
			}
			words[row*width+int64(col)/per] |= int32(uint32(int32(c)+sch.offset()) << (int64(sch.Bits) * (int64(col) % per)))
		}
	}
	return words, nil
}

// UnpackCodes undoes PackCodes.
func UnpackCodes(words []int32, n, k int64, sch WeightScheme) ([]int16, error) {
	per := sch.PerWord()
	width := (k + per - 1) / per
	if int64(len(words)) != n*width {
		return nil, fmt.Errorf("quant: %d words for a weight [%d, %d] of %d bits, want %d", len(words), n, k, sch.Bits, n*width)
	}
	q, mask := make([]int16, n*k), uint32(1)<<sch.Bits-1
	for row := range n {
		line := words[row*width : (row+1)*width]
		for col := range k {
			u := uint32(line[col/per]) >> (int64(sch.Bits) * (col % per)) & mask
			q[row*k+col] = int16(int32(u) - sch.offset())
		}
	}
	return q, nil
}

// PackZeroPoints packs zero points [rows, groups] along the rows: int32 [ceil(rows/PerWord), groups]. Rows beyond the
// last are 0.
func PackZeroPoints(z []int32, rows, groups int64, sch WeightScheme) ([]int32, error) {
	if int64(len(z)) != rows*groups {
		return nil, fmt.Errorf("quant: %d zero points, want [%d, %d]", len(z), rows, groups)
	}
	per := sch.PerWord()
	words := make([]int32, (rows+per-1)/per*groups)
	for i, v := range z {
		if v < sch.QMin() || v > sch.QMax() {
			return nil, fmt.Errorf("quant: zero point [%d, %d] is %d, want %d...%d", int64(i)/groups, int64(i)%groups, v, sch.QMin(), sch.QMax())
		}
		row, col := int64(i)/groups, int64(i)%groups
		words[row/per*groups+col] |= int32(uint32(v+sch.offset()) << (int64(sch.Bits) * (row % per)))
	}
	return words, nil
}

// UnpackZeroPoints undoes PackZeroPoints.
func UnpackZeroPoints(words []int32, rows, groups int64, sch WeightScheme) ([]int32, error) {
	per := sch.PerWord()
	if want := (rows + per - 1) / per * groups; int64(len(words)) != want {
		return nil, fmt.Errorf("quant: %d zero-point words for [%d, %d] of %d bits, want %d", len(words), rows, groups, sch.Bits, want)
	}
	z, mask := make([]int32, rows*groups), uint32(1)<<sch.Bits-1
	for i := range z {
		row, col := int64(i)/groups, int64(i)%groups
		z[i] = int32(uint32(words[row/per*groups+col])>>(int64(sch.Bits)*(row%per))&mask) - sch.offset()
	}
	return z, nil
}
