package native

// #include <stdlib.h>
// #include "native.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// Sampling says how codes are drawn from logits; the zero value of Sample takes the best.
type Sampling struct {
	Sample      bool
	Temperature float64
	TopK        int     // 0: all
	TopP        float64 // 1: all
}

func (s Sampling) c() C.nat_sampling {
	c := C.nat_sampling{top_k: C.int(min(s.TopK, 1<<30)), temperature: C.double(s.Temperature), top_p: C.double(s.TopP)}
	if s.Sample {
		c.sample = 1
	}
	return c
}

// BadLogit is an error: a logit that is NaN or +Inf.
type BadLogit struct{ Sequence, Step, Place int }

func (e *BadLogit) Error() string {
	return fmt.Sprintf("native: sequence %d code %d: logit %d is not a finite number", e.Sequence, e.Step+1, e.Place)
}

// Draw takes one of scores, which change, at the point u in [0, 1).
func Draw(scores []float32, s Sampling, u float64) (int, error) {
	if len(scores) == 0 {
		return 0, fmt.Errorf("native: no scores to draw from")
	}
	room := C.malloc(C.nat_draw_room(C.int(len(scores))))
	if room == nil {
		return 0, errMemory
	}
	defer C.free(room)
	how := s.c()
	k := int(C.nat_draw(floats(scores), C.int(len(scores)), &how, C.double(u), room))
	if k < 0 {
		return 0, &BadLogit{Place: -1 - k}
	}
	return k, nil
}

// Predictor decodes the codes of a frame after its first one.
type Predictor struct {
	stack *Stack
	c     *C.nat_predictor
	V, G  int // codes of a codebook; codes of a frame
	H     int // width of the talker's states and of the embeddings
}

// NewPredictor decodes on stack. adapter maps width H to the stack's and is nil where they are equal; heads are [V, Hp],
// of codes 1 … G-1; tables are embeddings [·, H], of codes 0 … G-1.
func NewPredictor(stack *Stack, adapter *Matrix, heads, tables []*Matrix) (*Predictor, error) {
	G := len(tables)
	if G < 2 || len(heads) != G-1 {
		return nil, fmt.Errorf("native: %d heads and %d tables, want one table more than heads", len(heads), G)
	}
	p := &Predictor{stack: stack, V: int(heads[0].c.rows), G: G, H: int(tables[0].c.cols)}
	Hp := stack.shape.Width
	if adapter == nil && p.H != Hp || adapter != nil && (int(adapter.c.rows) != Hp || int(adapter.c.cols) != p.H) {
		return nil, fmt.Errorf("native: width %d to %d without a fitting adapter", p.H, Hp)
	}
	for j := range tables {
		if int(tables[j].c.cols) != p.H || j > 0 && (int(heads[j-1].c.cols) != Hp || int(heads[j-1].c.rows) != p.V || int(tables[j].c.rows) < p.V) {
			return nil, fmt.Errorf("native: head or table of code %d has another size than the first", j)
		}
	}
	p.c = (*C.nat_predictor)(C.calloc(1, C.sizeof_nat_predictor))
	m := (*C.nat_matrix)(C.calloc(C.size_t(2*G), C.sizeof_nat_matrix))
	if p.c == nil || m == nil {
		C.free(unsafe.Pointer(p.c))
		C.free(unsafe.Pointer(m))
		return nil, errMemory
	}
	all := unsafe.Slice(m, 2*G)
	for j, t := range tables {
		all[j] = t.c
	}
	for j, h := range heads {
		all[G+j] = h.c
	}
	p.c.codebook, p.c.heads, p.c.width, p.c.table, p.c.head = C.int(p.V), C.int(G-1), C.int(p.H), &all[0], &all[G]
	if adapter != nil {
		p.c.adapter = adapter.c
	}
	return p, nil
}

// Frame decodes one frame of each sequence: hidden [n, H] are the talker's states, code0 [n] the first codes and u
// [G-1][n] the points to draw at (nil where the best is taken). It fills codes [G-1][n], and total [n, H] with the sum of
// the frame's embeddings. The stack's sequences are then those of this frame.
func (p *Predictor) Frame(s Sampling, hidden []float32, code0 []int32, u []float64, codes []int32, total []float32) error {
	n := len(code0)
	switch {
	case p.c == nil || p.stack.c == nil || p.stack.pool.c == nil:
		return errClosed
	case !p.stack.bound:
		return fmt.Errorf("native: no weights are bound")
	case n == 0 || len(hidden) != n*p.H || len(total) != n*p.H || len(codes) != n*(p.G-1) || s.Sample && len(u) != len(codes):
		return fmt.Errorf("native: %d first codes, %d hidden values, %d draws, room for %d codes", n, len(hidden), len(u), len(codes))
	}
	for _, k := range code0 {
		if k < 0 || int(k) >= int(unsafe.Slice(p.c.table, 1)[0].rows) {
			return fmt.Errorf("native: first code %d, want one of the %d of its table", k, unsafe.Slice(p.c.table, 1)[0].rows)
		}
	}
	p.stack.pool.mu.Lock()
	defer p.stack.pool.mu.Unlock()
	how := s.c()
	var bad [3]C.int32_t
	code := C.nat_frame(p.stack.c, p.c, &how, floats(hidden), (*C.int32_t)(unsafe.SliceData(code0)),
		(*C.double)(unsafe.SliceData(u)), C.int(n), (*C.int32_t)(unsafe.SliceData(codes)), floats(total), &bad[0])
	if code > 0 {
		return &BadLogit{Sequence: int(bad[0]), Step: int(bad[1]), Place: int(bad[2])}
	}
	return status(code)
}

// Close frees the description. The stack stays.
func (p *Predictor) Close() {
	if p == nil || p.c == nil {
		return
	}
	C.free(unsafe.Pointer(p.c.table))
	C.free(unsafe.Pointer(p.c))
	p.c = nil
}
