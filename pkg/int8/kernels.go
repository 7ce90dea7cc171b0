package int8

// #cgo CFLAGS: -O3 -Wall -Wno-psabi -I${SRCDIR}/../../internal/native
// #include "int8.h"
import "C"

import (
	"fmt"

	"github.com/qakd/qakd/internal/native"
)

// Kernels names the sets of kernels that this CPU can run, the slowest first.
func Kernels() []string {
	var names []string
	for k := C.int8_kernels_at(0); k != nil; k = C.int8_kernels_at(C.int(len(names))) {
		names = append(names, C.GoString(k.name))
	}
	return names
}

// kernelsOf is the set with a name out of Kernels; "" is the fastest.
func kernelsOf(name string) (*C.int8_kernels, error) {
	i, err := native.Choose(name, Kernels())
	if err != nil {
		return nil, fmt.Errorf("int8: %w", err)
	}
	return C.int8_kernels_at(C.int(i)), nil
}
