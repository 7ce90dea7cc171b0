package text

import "math/bits"

// pairs maps two neighboring ids to the rank and the product of their merge: an open hash table of fixed size, half empty,
// since looking up neighbors is what encoding does most.
type pairs struct {
	slots []pair
	shift int // of the hash, so that it indexes slots
}

type pair struct {
	key        uint64 // both ids plus one; 0 marks an empty slot
	rank, into int32
}

func newPairs(n int) pairs {
	width := max(1, bits.Len(uint(2*n)))
	return pairs{make([]pair, 1<<width), 64 - width}
}

// slot is where the pair is, or would go.
func (p *pairs) slot(key uint64) *pair {
	for i := int(key * 0x9E3779B97F4A7C15 >> p.shift); ; i++ {
		if s := &p.slots[i&(len(p.slots)-1)]; s.key == key || s.key == 0 {
			return s
		}
	}
}

func pairKey(a, b int32) uint64 { return uint64(a)<<32 + uint64(b) + 1 }

func (p *pairs) put(a, b, rank, into int32) {
	key := pairKey(a, b)
	*p.slot(key) = pair{key, rank, into}
}

func (p *pairs) get(a, b int32) (rank, into int32, ok bool) {
	s := p.slot(pairKey(a, b))
	return s.rank, s.into, s.key != 0
}
