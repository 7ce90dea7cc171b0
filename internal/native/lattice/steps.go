package lattice

// #include "lattice.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Block is one block of GPTQ's columns, At … At+len(Unit)-1. Columns are in the order in which they are rounded.
type Block struct {
	N, K    int64          // of the weight
	W       []float32      // [N, K]
	U       unsafe.Pointer // float32 [b, b] upper, of the Cholesky factor, row stride LDU
	LDU     int64
	Earlier unsafe.Pointer // float32 [N, b], what the blocks before take away; nil for the first
	Err     unsafe.Pointer // float32 [N, K], receives the errors
	At      int64
	Unit    []int64 // row r has the scale r·Units + Unit there
	Units   int64   // scales in a row; 0: one for all rows
	Scale   []float32
	Zero    []int32 // nil of a symmetric scheme
	QMin    int32
	QMax    int32
	Codes   []byte // [N, K]
}

// GPTQ quantizes the block's columns one after the other, each error moved to the columns of the block behind it.
func (s Set) GPTQ(b Block) {
	var pin runtime.Pinner
	defer pin.Unpin()
	for _, p := range []any{unsafe.SliceData(b.W), unsafe.SliceData(b.Unit), unsafe.SliceData(b.Scale), unsafe.SliceData(b.Codes)} {
		pin.Pin(p)
	}
	if b.Zero != nil {
		pin.Pin(unsafe.SliceData(b.Zero))
	}
	c := C.lat_gptq{
		w: floats(b.W), u: (*C.float)(b.U), earlier: (*C.float)(b.Earlier), k: C.long(b.K), ldu: C.long(b.LDU), at: C.long(b.At),
		b: C.long(len(b.Unit)), unit: (*C.int64_t)(unsafe.SliceData(b.Unit)), scale: floats(b.Scale), zero: ints(b.Zero),
		units: C.long(b.Units), qmin: C.int(b.QMin), qmax: C.int(b.QMax), err: (*C.float)(b.Err), codes: bytes(b.Codes),
	}
	s.parallel(b.N, 64, func(from, to C.long) { C.lat_gptq_rows(s.k, &c, from, to) })
}

// Permute is w [n, k] with column order[j] at j.
func (s Set) Permute(w []float32, order []int64) []float32 {
	k := int64(len(order))
	out := make([]float32, len(w))
	s.parallel(int64(len(w))/k, 64, func(from, to C.long) {
		C.lat_permute(floats(w), C.long(k), (*C.int64_t)(unsafe.SliceData(order)), from, to, floats(out))
	})
	return out
}

// Restore undoes Permute on codes.
func (s Set) Restore(codes []byte, order []int64) []byte {
	k := int64(len(order))
	out := make([]byte, len(codes))
	s.parallel(int64(len(codes))/k, 64, func(from, to C.long) {
		C.lat_restore(bytes(codes), C.long(k), (*C.int64_t)(unsafe.SliceData(order)), from, to, bytes(out))
	})
	return out
}

// Rounding is how to round by signed gradients (AutoRound); see pkg/calib.
type Rounding struct {
	H     unsafe.Pointer // float32 [k, k], symmetric: d·H·dᵀ is the error of a row's d = w - value
	Steps int
	Rate  float64 // of the first step, then falling to 0
	Most  float64 // the factors of a range stay within 1 - Most … 1 + Most
}

// roundRows is how many rows share a pass over H at their beginning.
const roundRows = 16

// Round fills in scales, zero points (nil of a symmetric scheme) and codes. Units must not be longer than a row. Beside them it
// takes RoundRoom.
func (s Set) Round(w Weight, how Rounding, scale []float32, zero []int32, codes []byte) {
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(unsafe.SliceData(scale))
	pin.Pin(unsafe.SliceData(codes))
	if zero != nil {
		pin.Pin(unsafe.SliceData(zero))
	}
	c := C.lat_round{
		w: w.c(&pin), h: (*C.float)(how.H), steps: C.long(how.Steps), rate: C.double(how.Rate), most: C.float(how.Most),
		scale: floats(scale), zero: ints(zero), codes: bytes(codes),
	}
	s.workers(int64(len(w.W))/w.K, roundRows, func() func(from, to C.long) {
		room := make([]float32, C.lat_round_room(&c, roundRows))
		return func(from, to C.long) { C.lat_round_rows(s.k, &c, from, to, floats(room)) }
	})
}

// RoundRoom is how many bytes Round takes on as many threads, for rows of k in units of width.
func RoundRoom(k, width int64, threads int) int64 {
	r := C.lat_round{w: C.lat_weight{k: C.long(k), width: C.long(width)}}
	return int64(threads) * 4 * int64(C.lat_round_room(&r, roundRows))
}

// Scaled is w [n, k] with column j multiplied by scale[j].
func (s Set) Scaled(w, scale []float32) []float32 {
	k := int64(len(scale))
	out := make([]float32, len(w))
	s.parallel(int64(len(w))/k, 64, func(from, to C.long) {
		for r := int64(from); r < int64(to); r++ {
			row, result := w[r*k:(r+1)*k], out[r*k:(r+1)*k]
			for j, s := range scale {
				result[j] = row[j] * s
			}
		}
	})
	return out
}
