package lattice

// #cgo CFLAGS: -O3 -Wall -Wno-psabi
// #cgo LDFLAGS: -lm
// #include "lattice.h"
import "C"

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
)

// Rule derives a scale from the weights that share it; the numbers are those of quant.ScaleMethod.
type Rule int

// Weight is a weight [n, k] as it is quantized.
type Weight struct {
	W          []float32
	K, Width   int64 // of a row, and of a unit
	QMin, QMax int32
	Symmetric  bool
}

// Units is the number of scales.
func (w Weight) Units() int64 { return int64(len(w.W)) / w.Width }

// Set is a set of kernels and the number of goroutines that run them.
type Set struct {
	k       *C.lat_kernels
	threads int
}

// Kernels names the sets that this CPU can run, the slowest first.
func Kernels() (names []string) {
	for i := 0; C.lat_kernels_at(C.int(i)) != nil; i++ {
		names = append(names, C.GoString(C.lat_kernels_at(C.int(i)).name))
	}
	return names
}

// SetOf is the set of that name on as many threads, at least 1; "" is the fastest.
func SetOf(name string, threads int) (Set, error) {
	i, err := native.Choose(name, Kernels())
	if err != nil {
		return Set{}, fmt.Errorf("lattice: %w", err)
	}
	return Set{C.lat_kernels_at(C.int(i)), max(threads, 1)}, nil
}

// parallel calls f on pieces of 0...n of the given size.
func (s Set) parallel(n, size int64, f func(from, to C.long)) {
	s.workers(n, size, func() func(from, to C.long) { return f })
}

// workers calls on pieces of 0...n what begin returns, once for each thread.
func (s Set) workers(n, size int64, begin func() func(from, to C.long)) {
	var next atomic.Int64
	work := func() {
		f := begin()
		for from := next.Add(size) - size; from < n; from = next.Add(size) - size {
			f(C.long(from), C.long(min(from+size, n)))
		}
	}
	var wait sync.WaitGroup
	for range min(int64(s.threads), (n+size-1)/size) - 1 {
		wait.Go(work)
	}
	work()
	wait.Wait()
}

// piece is the number of units that make about 64k weights.
func (w Weight) piece() int64 { return max(1, (1<<16)/w.Width) }

func (w Weight) c(pin *runtime.Pinner) C.lat_weight {
	p := unsafe.SliceData(w.W)
	pin.Pin(p)
	symmetric := C.int(0)
	if w.Symmetric {
		symmetric = 1
	}
	return C.lat_weight{
		w: (*C.float)(p), k: C.long(w.K), width: C.long(w.Width), qmin: C.int(w.QMin), qmax: C.int(w.QMax), symmetric: symmetric,
	}
}

func floats(v []float32) *C.float { return (*C.float)(unsafe.SliceData(v)) }
func ints(v []int32) *C.int32_t   { return (*C.int32_t)(unsafe.SliceData(v)) }
func bytes(v []byte) *C.uint8_t   { return (*C.uint8_t)(unsafe.SliceData(v)) }

// Nearest fills in the units' scales (and zero points, of an asymmetric scheme) by a rule, and the codes [n, k] unless codes
// is nil. It answers with the index of a value that is not finite, or -1.
func (s Set) Nearest(w Weight, rule Rule, scale []float32, zero []int32, codes []byte) int64 {
	var pin runtime.Pinner
	defer pin.Unpin()
	cw, bad := w.c(&pin), atomic.Int64{}
	bad.Store(-1)
	s.parallel(w.Units(), w.piece(), func(from, to C.long) {
		at := int64(C.lat_nearest(s.k, &cw, C.int(rule), from, to, floats(scale), ints(zero), bytes(codes)))
		for was := bad.Load(); at >= 0 && (was < 0 || at < was) && !bad.CompareAndSwap(was, at); was = bad.Load() {
		}
	})
	return bad.Load()
}

// Codes fills in the codes [n, k] under given scales and zero points (nil of a symmetric scheme).
func (s Set) Codes(w Weight, scale []float32, zero []int32, codes []byte) {
	var pin runtime.Pinner
	defer pin.Unpin()
	cw := w.c(&pin)
	s.parallel(w.Units(), w.piece(), func(from, to C.long) {
		C.lat_codes(s.k, &cw, floats(scale), ints(zero), from, to, bytes(codes))
	})
}

// Residual fills in d [n, k] = value(w·s)/s - w, where each unit of w·s is rounded to nearest by a rule; s [k] is positive.
// Units must not be longer than a row.
func (s Set) Residual(w Weight, rule Rule, scale, d []float32) {
	var pin runtime.Pinner
	defer pin.Unpin()
	cw := w.c(&pin)
	s.parallel(int64(len(w.W))/w.K, max(1, (1<<15)/w.K), func(from, to C.long) {
		C.lat_residual(s.k, &cw, C.int(rule), floats(scale), from, to, floats(d))
	})
}

// Search says what a search tries, and how errors count.
type Search struct {
	H                []float64 // [k], how much each column's errors count
	Blocks           []float32 // [k/Width, Width, Width], a quadratic form in its place; or nil
	Points           int       // clip ranges, from GridMax down to GridMin as a share of the one that clips nothing
	GridMin, GridMax float64
}

// relative is h divided by its mean, which nothing but the size of errors depends on.
func relative(h []float64) []float32 {
	var mean float64
	for _, v := range h {
		mean += v / float64(len(h))
	}
	out := make([]float32, len(h))
	for i, v := range h {
		out[i] = float32(v / mean)
	}
	return out
}

// Search fills in the scales and zero points of least weighted squared error. The rules' are among the candidates.
func (s Set) Search(w Weight, how Search, scale []float32, zero []int32) {
	h32 := relative(how.H)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(unsafe.SliceData(how.H))
	pin.Pin(unsafe.SliceData(h32))
	if how.Blocks != nil {
		pin.Pin(unsafe.SliceData(how.Blocks))
	}
	c := C.lat_search{
		w: w.c(&pin), h: (*C.double)(unsafe.SliceData(how.H)), h32: floats(h32), blocks: floats(how.Blocks),
		points: C.int(how.Points), grid_min: C.double(how.GridMin), grid_max: C.double(how.GridMax),
	}
	s.parallel(w.Units(), w.piece(), func(from, to C.long) { C.lat_search_units(s.k, &c, from, to, floats(scale), ints(zero)) })
}

// HalfQuadratic are the parameters of HQQ; see pkg/calib.
type HalfQuadratic struct {
	H               []float64 // [k], above 0: how much each column's errors count
	P, Beta, Growth float64
	Rounds, Starts  int
	Least           float64 // share of the range that the last start keeps
}

// HQQ fills in scales and zero points of an asymmetric scheme.
func (s Set) HQQ(w Weight, how HalfQuadratic, scale []float32, zero []int32) {
	var pin runtime.Pinner
	defer pin.Unpin()
	h := append(slices.Repeat(relative(how.H), int(max(1, w.Width/w.K))), make([]float32, 16)...)
	pin.Pin(unsafe.SliceData(h))
	c := C.lat_hqq{
		w: w.c(&pin), h: floats(h), p: C.double(how.P), beta: C.double(how.Beta), growth: C.double(how.Growth),
		rounds: C.int(how.Rounds), starts: C.int(how.Starts), least: C.double(how.Least),
	}
	s.parallel(w.Units(), w.piece(), func(from, to C.long) { C.lat_hqq_units(s.k, &c, from, to, floats(scale), ints(zero)) })
}
