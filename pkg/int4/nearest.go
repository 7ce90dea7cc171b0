package int4

// #include "int4.h"
// int int4_nearest(const nat_int4 *w, uint8_t *strips, const void *from, int bf16, int s);
import "C"

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/qakd/qakd/pkg/quant"
)

// Nearest rounds a weight [n, k] to nearest in strips, memory of the caller of [Size] bytes: scales and codes are those of
// quant.InitQParams by AbsMax and of quant.Pack, to the bit. Values are float32, or the bits of bf16. The scheme is
// symmetric. The work is shared by threads, which read w from memory once.
func Nearest[T float32 | uint16](strips []byte, w []T, n, k int64, sch quant.WeightScheme, threads int) error {
	m, err := At(strips, n, k, sch)
	if err != nil {
		return err
	}
	if !sch.Symmetric {
		return fmt.Errorf("int4: scheme %v, want a symmetric one", sch)
	}
	if int64(len(w)) != n*k {
		return fmt.Errorf("int4: %d values for a weight [%d, %d]", len(w), n, k)
	}
	bf16 := C.int(0)
	if unsafe.Sizeof(w[0]) == 2 {
		bf16 = 1
	}
	var bad atomic.Int64 // row + 1
	d := m.c
	d.strips = nil // may be Go's memory
	to, from := (*C.uint8_t)(unsafe.SliceData(strips)), unsafe.Pointer(unsafe.SliceData(w))
	each(int((n+15)/16), threads, func(s int) {
		if r := C.int4_nearest(&d, to, from, bf16, C.int(s)); r >= 0 {
			bad.CompareAndSwap(0, int64(r)+1)
		}
	})
	if r := bad.Load(); r > 0 {
		return fmt.Errorf("int4: row %d of the weight has a value that is not finite", r-1)
	}
	return nil
}
