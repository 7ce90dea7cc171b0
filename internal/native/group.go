package native

// #include "group.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// ApplyGroup computes x [M, cols]·Wᵀ (+ bias) for matrices of one width, in one go: what one prepares of x, others share.
// y holds their results [M, rows], one after the other.
func (p *Pool) ApplyGroup(ws []*Matrix, x, y []float32) error {
	if len(ws) == 0 {
		return fmt.Errorf("native: no matrices to apply")
	}
	all, cols, rows := make([]C.nat_matrix, len(ws)), int(ws[0].c.cols), 0
	for i, w := range ws {
		if int(w.c.cols) != cols {
			return fmt.Errorf("native: matrices %d and %d wide in one group", cols, w.c.cols)
		}
		all[i], rows = w.c, rows+int(w.c.rows)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch M := len(x) / cols; {
	case p.c == nil:
		return errClosed
	case M < 1 || len(x) != M*cols || len(y) != M*rows:
		return fmt.Errorf("native: %d values to %d through matrices of %d rows and width %d", len(x), len(y), rows, cols)
	case C.nat_apply_group(p.c, p.kernels, unsafe.SliceData(all), C.int(len(all)), floats(x), C.int(M), floats(y)) == 0:
		return errMemory
	}
	return nil
}
