package text

// The queue of a merger is a binary heap of rank and place, the smallest first.

func (m *merger) push(rank, place int32) {
	q := append(m.queue, uint64(rank)<<32|uint64(place))
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if q[parent] <= q[i] {
			break
		}
		q[parent], q[i] = q[i], q[parent]
		i = parent
	}
	m.queue = q
}

func (m *merger) pop() (rank, place int32) {
	q := m.queue
	top, last := q[0], len(q)-1
	q[0], q = q[last], q[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && q[child+1] < q[child] {
			child++
		}
		if q[i] <= q[child] {
			break
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
	m.queue = q
	return int32(top >> 32), int32(top)
}
