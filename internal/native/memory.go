package native

// #include "native.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// Memory is size bytes outside Go's memory, of whole pages, large ones where the system has them. They are 0, and stay
// until [FreeMemory].
func Memory(size int64) ([]byte, error) {
	p := C.nat_memory(C.size_t(size))
	if p == nil {
		return nil, fmt.Errorf("native: the system refuses %d bytes", size)
	}
	return unsafe.Slice((*byte)(p), size), nil
}

// FreeMemory gives back what Memory gave.
func FreeMemory(memory []byte) {
	C.nat_memory_free(unsafe.Pointer(unsafe.SliceData(memory)), C.size_t(len(memory)))
}
