package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/quant"
	"golang.org/x/sys/unix"
)

// weights are copies of a packed matrix, no two with the same bytes, and an input for them.
type weights struct {
	pool   *native.Pool
	region []byte // of all strips, one matrix behind the other
	packed []*int4.Matrix
	list   []*native.Matrix
	x      []float32
	y      [][]float32 // one of each matrix
}

const mib = 1 << 20

// newWeights are [n,k] matrices that fill a set of bytes, and an input of m rows. Inputs are quantized anew for each
// product, as decoding does it.
func newWeights(threads int, n, k, m int64, group, set int64) (w *weights, err error) {
	sch := quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: group}
	first, err := random(n, k, sch)
	if err != nil {
		return nil, err
	}
	defer first.Close()
	strips := first.Bytes()
	size := int64(len(strips))
	copies := max(2, (set+size-1)/size)
	w = &weights{x: make([]float32, m*k)}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	for i := range w.x {
		w.x[i] = float32(math.Sin(float64(i)))
	}
	if w.pool, err = native.NewPool(threads, ""); err != nil {
		return nil, err
	}
	if w.region, err = unix.Mmap(-1, 0, int(copies*size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		return nil, fmt.Errorf("%d bytes of memory: %w", copies*size, err)
	}
	if err := unix.Madvise(w.region, unix.MADV_HUGEPAGE); err != nil && err != unix.EINVAL { // a kernel without them
		return nil, err
	}
	strip := size / ((n + 15) / 16)
	for i := range copies {
		to := w.region[i*size : (i+1)*size]
		from := i * strip % size // begin with another strip in each copy
		copy(to[copy(to, strips[from:]):], strips[:from])
		p, err := int4.At(to, n, k, sch)
		if err != nil {
			return nil, err
		}
		w.packed = append(w.packed, p)
		if err := p.SetInput(quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}, 0); err != nil {
			return nil, err
		}
		native, err := p.Native("", nil)
		if err != nil {
			return nil, err
		}
		w.list, w.y = append(w.list, native), append(w.y, make([]float32, m*n))
	}
	return w, nil
}

// random is a packed matrix of normal weights, rounded to nearest.
func random(n, k int64, sch quant.WeightScheme) (*int4.Matrix, error) {
	r := rng.New(1, "weights")
	dense := make([]float32, n*k)
	for i := range dense {
		dense[i] = float32(0.02 * r.NormFloat64())
	}
	p, err := quant.InitQParams(dense, n, k, sch, quant.AbsMax)
	if err != nil {
		return nil, err
	}
	words, err := quant.Pack(dense, n, k, p, sch)
	if err != nil {
		return nil, err
	}
	return int4.FromWords(words)
}

// bytes of one matrix.
func (w *weights) bytes() int { return len(w.region) / len(w.list) }

// product is milliseconds of one product: the best of some passes over all matrices.
func (w *weights) product(passes int) (float64, error) {
	return w.best(passes, func() error {
		for i, m := range w.list {
			if err := w.pool.Apply(m, w.x, w.y[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// read is milliseconds of reading one matrix's bytes, and nothing else.
func (w *weights) read(passes int) (float64, error) {
	return w.best(passes, func() error { _, err := w.pool.ReadMemory(w.region); return err })
}

func (w *weights) best(passes int, pass func() error) (ms float64, err error) {
	ms = math.Inf(1)
	for range passes {
		began := time.Now()
		if err := pass(); err != nil {
			return 0, err
		}
		ms = min(ms, float64(time.Since(began).Nanoseconds())/1e6/float64(len(w.list)))
	}
	return ms, nil
}

// side makes a side of a contest of a measurement.
func side(measure func(passes int) (float64, error), passes int) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) { return measure(passes) }
}

func (w *weights) close() error {
	for i, m := range w.list {
		m.Close()
		w.packed[i].Close()
	}
	if w.pool != nil {
		w.pool.Close()
	}
	if w.region == nil {
		return nil
	}
	return unix.Munmap(w.region)
}
