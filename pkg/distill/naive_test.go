package distill_test

import "math"

// The loss terms once more, as loops over float64.

func logSoftmax(x []float64) []float64 {
	most := math.Inf(-1)
	for _, v := range x {
		most = math.Max(most, v)
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - most)
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v - most - math.Log(sum)
	}
	return out
}

// naiveKL of softened distributions, without the factor T².
func naiveKL(teacher, student []float64, temperature float64) float64 {
	soft := func(x []float64) []float64 {
		out := make([]float64, len(x))
		for i := range x {
			out[i] = x[i] / temperature
		}
		return logSoftmax(out)
	}
	lt, ls := soft(teacher), soft(student)
	sum := 0.0
	for i := range lt {
		sum += math.Exp(lt[i]) * (lt[i] - ls[i])
	}
	return sum
}

// naiveEnd is the probability of the last class.
func naiveEnd(x []float64) float64 { return math.Exp(logSoftmax(x)[len(x)-1]) }

func naiveBinaryKL(p, q float64) float64 {
	return p*math.Log(p/q) + (1-p)*math.Log((1-p)/(1-q))
}

func naiveHidden(teacher, student []float64) float64 {
	var diff, size float64
	for i := range teacher {
		diff += (student[i] - teacher[i]) * (student[i] - teacher[i])
		size += teacher[i] * teacher[i]
	}
	return diff / size
}

// naiveReachable keeps the 8 codes and the end, id 22.
func naiveReachable(x []float64) []float64 { return append(append([]float64(nil), x[:8]...), x[22]) }

func argmax(x []float64) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// sums are totals of all terms over rows and frames, at temperature T, with weights of codes 1 … G-1.
type sums struct {
	klFull, klReachable, eos, hidden, ceCode0, klCodes, ceCodes float64
	rows, frames                                                float64
}

func (s *sums) add(t, st pass, T float64, weights []float64) {
	for i := range st.head {
		s.rows++
		rt, rs := naiveReachable(t.head[i]), naiveReachable(st.head[i])
		s.klFull += T * T * naiveKL(t.head[i], st.head[i], T)
		s.klReachable += T * T * naiveKL(rt, rs, T)
		s.eos += naiveBinaryKL(naiveEnd(rt), naiveEnd(rs))
		s.hidden += naiveHidden(t.hidden[i], st.hidden[i])
		s.ceCode0 -= logSoftmax(st.head[i])[st.labels[i]]
	}
	for f := range st.codes {
		s.frames++
		for j, w := range weights {
			s.klCodes += w * T * T * naiveKL(t.codes[f][j], st.codes[f][j], T)
			s.ceCodes -= w * logSoftmax(st.codes[f][j])[st.frames[f][j+1]]
		}
	}
}
