// Package emulated has the sets of kernels of pkg/int4 that the CPU at hand may lack, compiled for any: the same C files,
// with the CPU's functions written out (include/immintrin.h, tiles.h). It shows that what these kernels compute is right,
// and where they read and write; it is slow, and only tests import it.
package emulated

// #cgo CFLAGS: -O1 -Wall -Wno-psabi -I${SRCDIR}/include -I${SRCDIR}/../../../internal/native
// #cgo LDFLAGS: -lm
// #include "sets.h"
import "C"

import (
	"unsafe"

	_ "github.com/qakd/qakd/internal/native" // whose headers are included
)

// Sets are the sets of kernels, each an int4_kernels of ../int4.h, by their names behind "emulated-".
func Sets() map[string]unsafe.Pointer {
	sets := map[string]unsafe.Pointer{}
	for _, k := range []*C.int4_kernels{&C.int4_emulated_avx512vnni, &C.int4_emulated_amx} {
		sets["emulated-"+C.GoString(k.name)] = unsafe.Pointer(k)
	}
	return sets
}
