package text

import "math"

// none is the rank of neighbors that no merge joins.
const none = math.MaxInt32

// merger joins the pieces of one word; its buffers serve the next.
type merger struct {
	ids, ranks, products []int32 // of piece i; rank and product of its merge with the piece to its right
	left, right          []int32 // neighbors that are still there, -1 at the ends
	queue                []uint64
}

// short is the most bytes a word has for which looking through all ranks beats a queue.
const short = 24

// join replaces ids, one for each byte of a word, by those that the merges leave: the lowest rank first, the left-most
// first among equals. The result is valid until the next call.
func (m *merger) join(joins *pairs, word string, bytes *[256]int32) []int32 {
	m.ids = m.ids[:0]
	for i := range len(word) {
		m.ids = append(m.ids, bytes[word[i]])
	}
	if len(word) <= short {
		m.joinShort(joins)
	} else {
		m.joinLong(joins)
	}
	return m.ids
}

// look writes rank and product of the neighbors a and b to place i.
func (m *merger) look(joins *pairs, i int, a, b int32) {
	rank, into, ok := joins.get(a, b)
	if !ok {
		rank = none
	}
	m.ranks[i], m.products[i] = rank, into
}

// joinShort looks through all ranks for each merge and moves up what follows it.
func (m *merger) joinShort(joins *pairs) {
	ids := m.ids
	n := len(ids)
	m.size(n)
	for i := range n - 1 {
		m.look(joins, i, ids[i], ids[i+1])
	}
	for n > 1 {
		at := 0
		for i, rank := range m.ranks[:n-1] {
			if rank < m.ranks[at] {
				at = i
			}
		}
		if m.ranks[at] == none {
			break
		}
		ids[at] = m.products[at]
		copy(ids[at+1:n], ids[at+2:n])
		copy(m.ranks[at:n-1], m.ranks[at+1:n-1])
		copy(m.products[at:n-1], m.products[at+1:n-1])
		if n--; at < n-1 {
			m.look(joins, at, ids[at], ids[at+1])
		}
		if at > 0 {
			m.look(joins, at-1, ids[at-1], ids[at])
		}
	}
	m.ids = ids[:n]
}

// joinLong does the same with linked neighbors and a queue, in n log n steps: a word may be as long as the text.
func (m *merger) joinLong(joins *pairs) {
	n := len(m.ids)
	m.size(n)
	m.left, m.right = grown(m.left, n), grown(m.right, n)
	m.queue = m.queue[:0]
	for i := range n {
		m.left[i], m.right[i] = int32(i-1), int32(i+1)
	}
	m.right[n-1] = -1
	for i := range n - 1 {
		m.offer(joins, int32(i))
	}
	m.ranks[n-1] = none
	for len(m.queue) > 0 {
		rank, i := m.pop()
		if m.ranks[i] != rank { // merged away, or with another neighbor by now
			continue
		}
		gone := m.right[i]
		m.ids[i], m.ids[gone], m.ranks[gone] = m.products[i], -1, none
		if m.right[i] = m.right[gone]; m.right[i] >= 0 {
			m.left[m.right[i]] = i
		}
		m.offer(joins, i)
		if m.left[i] >= 0 {
			m.offer(joins, m.left[i])
		}
	}
	out := m.ids[:0]
	for i := int32(0); i >= 0; i = m.right[i] {
		out = append(out, m.ids[i])
	}
	m.ids = out
}

// offer queues the merge of piece i with its right neighbor, if there is one.
func (m *merger) offer(joins *pairs, i int32) {
	if m.ranks[i] = none; m.right[i] < 0 {
		return
	}
	if m.look(joins, int(i), m.ids[i], m.ids[m.right[i]]); m.ranks[i] != none {
		m.push(m.ranks[i], i)
	}
}

func (m *merger) size(n int) { m.ranks, m.products = grown(m.ranks, n), grown(m.products, n) }

func grown(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n)
	}
	return s[:n]
}
