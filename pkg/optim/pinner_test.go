package optim_test

import (
	"runtime"
	"unsafe"
)

// pinner lends slices to C, until Unpin.
type pinner struct{ runtime.Pinner }

func (p *pinner) floats(v []float32) unsafe.Pointer {
	p.Pin(&v[0])
	return unsafe.Pointer(&v[0])
}

func (p *pinner) bytes(v []uint8) unsafe.Pointer {
	p.Pin(&v[0])
	return unsafe.Pointer(&v[0])
}
