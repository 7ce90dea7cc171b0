package native

// #include <stdlib.h>
// #include "native.h"
import "C"

import (
	"fmt"
	"time"
	"unsafe"
)

// Shape of a decoder.
type Shape struct {
	Layers, Width, Heads, KVHeads, HeadDim, Inner int

	Eps       float64
	Frequency []float32 // of the rotation, [HeadDim/2]
	Cache     Kind      // of keys and values; INT8 has a scale for each head and row
}

// Layer is where the weights of one decoder layer are. The gains are copied when they are bound.
type Layer struct {
	Q, K, V, O, Gate, Up, Down        *Matrix
	InputNorm, PostNorm, QNorm, KNorm []float32
}

// Stack is a decoder with the keys and values of its sequences.
type Stack struct {
	pool  *Pool
	shape Shape
	c     *C.nat_stack
	gains []*C.float // in C's memory
	bound bool
}

// NewStack makes a decoder without weights.
func NewStack(pool *Pool, s Shape) (*Stack, error) {
	for name, v := range map[string]int{"layers": s.Layers, "width": s.Width, "heads": s.Heads, "key heads": s.KVHeads,
		"head size": s.HeadDim, "inner width": s.Inner} {
		if v < 1 || v > 1<<24 {
			return nil, fmt.Errorf("native: %s %d, want a positive number", name, v)
		}
	}
	if s.Heads%s.KVHeads != 0 || s.HeadDim%2 != 0 || len(s.Frequency) != s.HeadDim/2 || s.Cache != F32 && s.Cache != BF16 && s.Cache != INT8 {
		return nil, fmt.Errorf("native: %d heads, %d key heads, head size %d, %d frequencies, cache kind %d do not fit",
			s.Heads, s.KVHeads, s.HeadDim, len(s.Frequency), s.Cache)
	}
	shape := C.nat_shape{layers: C.int(s.Layers), width: C.int(s.Width), heads: C.int(s.Heads), kv: C.int(s.KVHeads),
		dim: C.int(s.HeadDim), inner: C.int(s.Inner), eps: C.float(s.Eps), cache: C.int(s.Cache)}
	st := &Stack{pool: pool, shape: s, c: C.nat_stack_new(pool.c, pool.kernels, &shape, floats(s.Frequency))}
	if st.c == nil {
		return nil, errMemory
	}
	return st, nil
}

// Bind says where the weights are; norm is the final gain. rotation, or nil, turns the rows before the first layer, and
// back before the final norm: it is its own inverse, and must live as long as it is bound. Sequences under way are forgotten at the next Prefill only.
func (s *Stack) Bind(layers []Layer, norm []float32, rotation *Transform) error {
	if s.c == nil {
		return errClosed
	}
	if len(layers) != s.shape.Layers || len(norm) != s.shape.Width {
		return fmt.Errorf("native: %d layers and a gain of %d, want %d and %d", len(layers), len(norm), s.shape.Layers, s.shape.Width)
	}
	for i, l := range layers {
		if err := s.shape.check(l); err != nil {
			return fmt.Errorf("native: layer %d: %w", i, err)
		}
	}
	var turn *C.nat_transform
	if rotation != nil {
		if err := rotation.fits(s.shape.Width); err != nil {
			return err
		}
		turn = rotation.c
	}
	s.freeGains()
	to := unsafe.Slice(C.nat_stack_layers(s.c), len(layers))
	for i, l := range layers {
		c := &to[i]
		c.q, c.k, c.v, c.o, c.gate, c.up, c.down = l.Q.c, l.K.c, l.V.c, l.O.c, l.Gate.c, l.Up.c, l.Down.c
		for at, v := range map[**C.float][]float32{&c.input_norm: l.InputNorm, &c.post_norm: l.PostNorm, &c.q_norm: l.QNorm, &c.k_norm: l.KNorm} {
			*at = vector(v)
			if s.gains = append(s.gains, *at); *at == nil {
				return errMemory
			}
		}
	}
	C.nat_stack_norm(s.c, floats(norm))
	C.nat_stack_rotation(s.c, turn)
	s.bound = true
	return nil
}

func (s *Shape) check(l Layer) error {
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	for name, m := range map[string]struct {
		*Matrix
		rows, cols int
	}{"q": {l.Q, q, s.Width}, "k": {l.K, kv, s.Width}, "v": {l.V, kv, s.Width}, "o": {l.O, s.Width, q},
		"gate": {l.Gate, s.Inner, s.Width}, "up": {l.Up, s.Inner, s.Width}, "down": {l.Down, s.Width, s.Inner}} {
		if m.Matrix == nil || int(m.c.rows) != m.rows || int(m.c.cols) != m.cols {
			return fmt.Errorf("projection %s, want a matrix %d×%d", name, m.rows, m.cols)
		}
	}
	for name, g := range map[string]struct{ have, want int }{"input": {len(l.InputNorm), s.Width}, "post": {len(l.PostNorm), s.Width},
		"q": {len(l.QNorm), s.HeadDim}, "k": {len(l.KNorm), s.HeadDim}} {
		if g.have != g.want {
			return fmt.Errorf("%s gain of %d, want %d", name, g.have, g.want)
		}
	}
	return nil
}

// Prefill forgets everything and reads rows[b] rows of each new sequence, x [Σ rows, Width]. out [len(rows), Width] is
// the final-normed state of each one's last row.
func (s *Stack) Prefill(x []float32, rows []int32, out []float32) error {
	total := 0
	for b, n := range rows {
		if n < 1 {
			return fmt.Errorf("native: sequence %d has %d rows, want at least one", b, n)
		}
		total += int(n)
	}
	if err := s.ready(len(rows), total, len(x), len(out)); err != nil {
		return err
	}
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return status(C.nat_stack_prefill(s.c, floats(x), (*C.int32_t)(unsafe.SliceData(rows)), C.int(len(rows)), floats(out)))
}

// Step reads one row of each sequence, x [sequences, Width], and writes its final-normed state to out.
func (s *Stack) Step(x, out []float32) error {
	n := s.Sequences()
	if err := s.ready(n, n, len(x), len(out)); err != nil {
		return err
	}
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return status(C.nat_stack_step(s.c, floats(x), floats(out)))
}

// Keep goes on with these sequences only, in this order.
func (s *Stack) Keep(sequences []int32) error {
	for _, b := range sequences {
		if b < 0 || int(b) >= s.Sequences() {
			return fmt.Errorf("native: sequence %d of %d", b, s.Sequences())
		}
	}
	if s.c == nil || len(sequences) == 0 {
		return fmt.Errorf("native: keep %d of %d sequences", len(sequences), s.Sequences())
	}
	return status(C.nat_stack_keep(s.c, (*C.int32_t)(unsafe.SliceData(sequences)), C.int(len(sequences))))
}

// Sequences is the number of sequences under way.
func (s *Stack) Sequences() int {
	if s.c == nil {
		return 0
	}
	return int(C.nat_stack_sequences(s.c))
}

// Spent is the time so far in the parts of the decoder.
type Spent struct {
	QKV    time.Duration // norm, q, k, v, rotation and attention
	O      time.Duration
	GateUp time.Duration // norm, gate, up and their product
	Down   time.Duration
	Heads  time.Duration // of a Predictor
	Draws  time.Duration // of a Predictor, with the lookup of what was drawn
}

// Spent says where the time went.
func (s *Stack) Spent() Spent {
	if s.c == nil {
		return Spent{}
	}
	t := unsafe.Slice(C.nat_stack_spent(s.c), C.NAT_PHASES)
	d := func(i int) time.Duration { return time.Duration(float64(t[i]) * 1e9) }
	return Spent{QKV: d(C.NAT_QKV), O: d(C.NAT_O), GateUp: d(C.NAT_GATE_UP), Down: d(C.NAT_DOWN), Heads: d(C.NAT_HEADS), Draws: d(C.NAT_DRAWS)}
}

// Forget ends the sequences under way and frees their keys and values.
func (s *Stack) Forget() {
	if s.c != nil {
		C.nat_caches_clear(s.c)
	}
}

// Close frees caches and gains.
func (s *Stack) Close() {
	if s == nil {
		return
	}
	C.nat_stack_free(s.c)
	s.c = nil
	s.freeGains()
}

// Unbind forgets the weights: until the next Bind there is nothing to compute with.
func (s *Stack) Unbind() { s.bound = false }

func (s *Stack) freeGains() {
	for _, g := range s.gains {
		C.free(unsafe.Pointer(g))
	}
	s.gains, s.bound = nil, false
}

func (s *Stack) ready(sequences, rows, in, out int) error {
	switch W := s.shape.Width; {
	case s.c == nil || s.pool.c == nil:
		return errClosed
	case !s.bound:
		return fmt.Errorf("native: no weights are bound")
	case sequences == 0:
		return fmt.Errorf("native: no sequence is under way")
	case in != rows*W || out != sequences*W:
		return fmt.Errorf("native: %d values to %d for %d rows of %d sequences, width %d", in, out, rows, sequences, W)
	}
	return nil
}

func status(code C.int) error {
	if code != 0 {
		return errMemory
	}
	return nil
}
