package adamw

// #cgo CFLAGS: -O3 -Wall -Wno-psabi -fopenmp
// #cgo LDFLAGS: -fopenmp -lm
// #include "adamw.h"
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
)

// BlockSize is the number of values that share a largest magnitude.
const BlockSize = C.ADAMW_BLOCK

// Signed and Unsigned are the two kinds of codes: for the mean of gradients and for that of their squares.
const (
	Signed   = 0
	Unsigned = 1
)

func init() { C.adamw_init() }

// Kernels names the sets of kernels that this CPU can run, the slowest first.
func Kernels() []string {
	var names []string
	for i := 0; C.adamw_kernels_at(C.int(i)) != nil; i++ {
		names = append(names, C.GoString(C.adamw_kernels_at(C.int(i)).name))
	}
	return names
}

// kernels is the set of that name; "" is the fastest.
func kernels(name string) (*C.adamw_kernels, error) {
	i, err := native.Choose(name, Kernels())
	if err != nil {
		return nil, fmt.Errorf("adamw: %w", err)
	}
	return C.adamw_kernels_at(C.int(i)), nil
}

// Moments are one parameter's, as float32 (M and V), or as codes with a largest magnitude for each block.
type Moments struct {
	M, V               unsafe.Pointer // float32 [N]
	MCodes, VCodes     unsafe.Pointer // uint8 [N]; nil: float32
	MLargest, VLargest unsafe.Pointer // float32 [Blocks(N)]
}

// Param is one parameter, and the numbers of its update. All memory is outside Go's, contiguous, in the machine's byte
// order.
type Param struct {
	N      int64
	Weight unsafe.Pointer // float32, or bf16 where Stochastic
	Copy   unsafe.Pointer // bf16 copy of a float32 weight; nil: none
	Grad   unsafe.Pointer // float32, or bf16 where GradBF16
	Moments
	GradBF16, Stochastic                                        bool
	Key                                                         uint64 // of stochastic rounding: another one for each parameter and update
	GradScale, Keep1, Beta2, Keep2, Decay, StepSize, Root2, Eps float32
}

// Blocks is the number of blocks of n values.
func Blocks(n int64) int64 { return (n + BlockSize - 1) / BlockSize }

// Update updates all parameters. set is a name out of Kernels; "" is the fastest.
func Update(params []Param, set string) error {
	k, err := kernels(set)
	if err != nil || len(params) == 0 {
		return err
	}
	list := make([]C.adamw_param, len(params))
	for i, p := range params {
		if list[i], err = p.c(); err != nil {
			return fmt.Errorf("adamw: parameter %d of %d: %w", i, len(params), err)
		}
	}
	C.adamw_run(k, &list[0], C.int(len(list)))
	runtime.KeepAlive(list)
	return nil
}

// SumSquares is Σ g² of each gradient of params, of which nothing else is looked at, in float64: eight lanes and parts of
// fixed size, added in order. It is not finite exactly when an element is not.
func SumSquares(params []Param, set string) ([]float64, error) {
	k, err := kernels(set)
	if err != nil || len(params) == 0 {
		return nil, err
	}
	list, sums := make([]C.adamw_param, len(params)), make([]float64, len(params))
	for i, p := range params {
		if p.N < 0 || p.N > 0 && p.Grad == nil {
			return nil, fmt.Errorf("adamw: gradient %d of %d: %d elements at %v", i, len(params), p.N, p.Grad)
		}
		list[i] = C.adamw_param{n: C.int64_t(p.N), grad: p.Grad, grad_kind: kind(p.GradBF16)}
	}
	C.adamw_squares(k, &list[0], C.int(len(list)), (*C.double)(&sums[0]))
	return sums, nil
}

func kind(bf16 bool) C.int {
	if bf16 {
		return C.ADAMW_BF16
	}
	return C.ADAMW_F32
}

func (p Param) c() (C.adamw_param, error) {
	coded := p.MCodes != nil
	switch {
	case p.N < 0 || p.N > 0 && (p.Weight == nil || p.Grad == nil):
		return C.adamw_param{}, fmt.Errorf("%d elements, weight at %v, gradient at %v", p.N, p.Weight, p.Grad)
	case p.Stochastic && p.Copy != nil:
		return C.adamw_param{}, fmt.Errorf("a copy of a weight that is bf16 itself")
	case p.N > 0 && coded && (p.VCodes == nil || p.MLargest == nil || p.VLargest == nil):
		return C.adamw_param{}, fmt.Errorf("codes without all of their parts")
	case p.N > 0 && !coded && (p.M == nil || p.V == nil):
		return C.adamw_param{}, fmt.Errorf("no moments")
	}
	return C.adamw_param{
		n: C.int64_t(p.N), weight: p.Weight, copy: (*C.uint16_t)(p.Copy), grad: p.Grad,
		weight_kind: kind(p.Stochastic), grad_kind: kind(p.GradBF16),
		m: (*C.float)(p.M), v: (*C.float)(p.V), m8: (*C.uint8_t)(p.MCodes), v8: (*C.uint8_t)(p.VCodes),
		mmax: (*C.float)(p.MLargest), vmax: (*C.float)(p.VLargest),
		grad_scale: C.float(p.GradScale), keep1: C.float(p.Keep1), beta2: C.float(p.Beta2), keep2: C.float(p.Keep2),
		decay: C.float(p.Decay), step_size: C.float(p.StepSize), root2: C.float(p.Root2), eps: C.float(p.Eps),
		key: [2]C.uint32_t{C.uint32_t(p.Key), C.uint32_t(p.Key >> 32)},
	}, nil
}

// Codebook are the numbers that the codes of a kind stand for, in ascending order.
func Codebook(kind int) []float32 {
	out := make([]float32, 256)
	for i := range out {
		out[i] = float32(C.adamw_book.value[kind][i])
	}
	return out
}

// Bounds are the 255 numbers between the codes of a kind: the code of x is the number of those that are less than x.
func Bounds(kind int) []float32 {
	book := Codebook(kind)
	out := make([]float32, 255)
	for i := range out {
		out[i] = (book[i] + book[i+1]) / 2
	}
	if kind == Unsigned {
		out[0] = 0
	}
	return out
}

// Encode is a block of values, BlockSize at most, as codes and their largest magnitude; Decode is its inverse up to rounding.
func Encode(x []float32, kind int, set string) (codes []uint8, largest float32, err error) {
	k, err := kernels(set)
	if err != nil || len(x) > BlockSize {
		return nil, 0, fmt.Errorf("adamw: %d values: %w", len(x), err)
	}
	var in [BlockSize]float32
	copy(in[:], x)
	for _, v := range x {
		largest = max(largest, v, -v)
	}
	out := make([]uint8, BlockSize)
	C.adamw_encode(k, (*C.float)(&in[0]), C.float(largest), C.int(kind), (*C.uint8_t)(&out[0]))
	return out[:len(x)], largest, nil
}

// Decode is what codes with a largest magnitude stand for.
func Decode(codes []uint8, largest float32, kind int, set string) ([]float32, error) {
	k, err := kernels(set)
	if err != nil || len(codes) > BlockSize {
		return nil, fmt.Errorf("adamw: %d codes: %w", len(codes), err)
	}
	var in [BlockSize]uint8
	copy(in[:], codes)
	out := make([]float32, BlockSize)
	C.adamw_decode(k, (*C.uint8_t)(&in[0]), C.float(largest), C.int(kind), (*C.float)(&out[0]))
	return out[:len(codes)], nil
}
