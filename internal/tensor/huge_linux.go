package tensor

import (
	"os"
	"syscall"
	"unsafe"
)

// hugeFrom is the size in bytes from which memory is worth huge pages.
const hugeFrom = 4 << 20

// adviseHuge asks for huge pages behind fresh memory: the system then clears 2 MiB at a time instead of 4 KiB, which is
// most of the price of filling a large tensor, and products with it miss the processor's address cache less. It is
// advice: a system that has none to give goes on with small pages.
func adviseHuge(memory []byte) {
	if len(memory) < hugeFrom {
		return
	}
	page := uintptr(os.Getpagesize())
	begin := (uintptr(unsafe.Pointer(&memory[0]))+page-1)&^(page-1) - uintptr(unsafe.Pointer(&memory[0]))
	if whole := (uintptr(len(memory)) - begin) &^ (page - 1); whole > 0 {
		_ = syscall.Madvise(memory[begin:begin+whole], syscall.MADV_HUGEPAGE)
	}
}
