package native

// #cgo CFLAGS: -O3 -Wall -Wno-psabi
// #cgo LDFLAGS: -lm -lpthread
// #include <stdlib.h>
// #include "native.h"
import "C"

import (
	"fmt"
	"sync"
	"time"
	"unsafe"
)

// MaxThreads is the most threads of a pool.
const MaxThreads = 256

// Kernels names the sets of kernels that this CPU can run, the slowest first.
func Kernels() []string {
	var names []string
	for i := 0; ; i++ {
		k := C.nat_kernels_at(C.int(i))
		if k == nil {
			return names
		}
		names = append(names, C.GoString(k.name))
	}
}

// Pool is the threads that share each piece of work, and the kernels that they run. It serves one call at a time.
type Pool struct {
	mu      sync.Mutex
	c       *C.nat_pool
	kernels *C.nat_kernels
	threads int
}

// NewPool starts a pool of threads, of which the caller of the work is one. kernels is a name out of Kernels; "" is the
// fastest.
func NewPool(threads int, kernels string) (*Pool, error) {
	i, err := Choose(kernels, Kernels())
	if err != nil {
		return nil, fmt.Errorf("native: %w", err)
	}
	if threads < 1 || threads > MaxThreads {
		return nil, fmt.Errorf("native: %d threads, want 1 to %d", threads, MaxThreads)
	}
	p := &Pool{c: C.nat_pool_new(C.int(threads)), kernels: C.nat_kernels_at(C.int(i)), threads: threads}
	if p.c == nil {
		return nil, fmt.Errorf("native: the system refuses %d threads", threads)
	}
	return p, nil
}

// Threads is the number of threads.
func (p *Pool) Threads() int { return p.threads }

// Kernels is the name of the pool's kernels.
func (p *Pool) Kernels() string { return C.GoString(p.kernels.name) }

// Close ends the threads. Stacks of the pool must not be used any more.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	C.nat_pool_free(p.c)
	p.c = nil
}

// ReadMemory reads memory that the caller has, from a cache if it lies there, and says how long that took: no kernel
// can read weights faster.
func (p *Pool) ReadMemory(data []byte) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.c == nil {
		return 0, errClosed
	}
	began := time.Now()
	C.nat_read(p.c, unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)))
	return time.Since(began), nil
}

// Apply computes y [M, rows] = x [M, cols]·Wᵀ (+ bias).
func (p *Pool) Apply(w *Matrix, x, y []float32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch M := len(x) / int(w.c.cols); {
	case p.c == nil:
		return errClosed
	case M < 1 || len(x) != M*int(w.c.cols) || len(y) != M*int(w.c.rows):
		return fmt.Errorf("native: %d values to %d through a matrix %d×%d", len(x), len(y), w.c.rows, w.c.cols)
	case C.nat_apply(p.c, p.kernels, &w.c, floats(x), C.int(M), floats(y)) == 0:
		return errMemory
	}
	return nil
}
