package int4

// #cgo CFLAGS: -O3 -Wall -Wno-psabi
// #cgo LDFLAGS: -lm
// #include "int4.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
)

// Kernels names the sets of kernels that this CPU can run, the slowest first.
func Kernels() []string {
	var names []string
	for i := 0; ; i++ {
		k := C.int4_kernels_at(C.int(i))
		if k == nil {
			return names
		}
		names = append(names, C.GoString(k.name))
	}
}

// others are sets that tests add: of other CPUs, emulated on this one.
var others = map[string]unsafe.Pointer{}

// kernelsOf is the set with a name out of Kernels; "" is the fastest.
func kernelsOf(name string) (*C.int4_kernels, error) {
	if p := others[name]; p != nil {
		return (*C.int4_kernels)(p), nil
	}
	i, err := native.Choose(name, Kernels())
	if err != nil {
		return nil, fmt.Errorf("int4: %w", err)
	}
	return C.int4_kernels_at(C.int(i)), nil
}
