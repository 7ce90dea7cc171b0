package nn

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// load reads one parameter. In the file's dtype the data go straight to the tensor's memory; to convert, one copy of the
// tensor in the file's dtype exists for the moment.
func load(p *Param, src ckpt.Source, opt LoadOptions) (out *ts.Tensor, err error) {
	info, data, err := src.Bytes(p.Name)
	if err != nil {
		return nil, err
	}
	from, err := DTypeOf(info.DType)
	if err != nil {
		return nil, err
	}
	to := opt.DType
	if p.DType != "" {
		to = from
	}
	t, err := tensor.Fill(from, info.Shape, func(memory []byte) error {
		return read(memory, src, info, data)
	})
	if err != nil || to == from && isCPU(opt.Device) {
		return t, err
	}
	err = tensor.Run(func(s *tensor.Scope) error {
		x := s.To(s.Own(t), to)
		if isFloat(to) && tensor.ElementSize(to) <= tensor.ElementSize(from) { // finite numbers may be too large for it
			if !s.All(s.Isfinite(s.Must(x.Sum(gotch.Double, false)))) {
				return fmt.Errorf("holds numbers of dtype %s that %s cannot", info.DType, DTypeName(to))
			}
		}
		out = s.Release(s.ToDevice(x, opt.Device))
		return nil
	})
	return out, err
}

// chunk is the number of bytes that are read and looked at in one go: they fit into the processor's cache.
const chunk = 1 << 20

// read fills memory with a tensor's data, which a Copier copies and any other source has mapped, and wants finite
// numbers. It uses as many goroutines as libtorch uses threads.
func read(memory []byte, src ckpt.Source, info ckpt.Info, data []byte) error {
	part := func(off int) error {
		dst := memory[off:min(off+chunk, len(memory))]
		if c, ok := src.(ckpt.Copier); ok {
			if err := c.CopyAt(dst, info.Name, int64(off)); err != nil {
				return err
			}
		} else {
			copy(dst, data[off:])
		}
		if i := ckpt.NonFinite(info.DType, dst); i >= 0 {
			size, _ := ckpt.DTypeSize(info.DType)
			return fmt.Errorf("element %d is NaN or infinite, want finite numbers (dtype %s)", int64(off)/size+i, info.DType)
		}
		return nil
	}
	return each((len(memory)+chunk-1)/chunk, tensor.Threads(), func(k int) error { return part(k * chunk) })
}

// each calls f with 0 … n-1 on up to threads goroutines and returns the error of the smallest number that gave one.
func each(n, threads int, f func(k int) error) error {
	if threads = min(n, threads); threads <= 1 {
		for k := range n {
			if err := f(k); err != nil {
				return err
			}
		}
		return nil
	}
	var next atomic.Int64
	var failed atomic.Bool
	var wait sync.WaitGroup
	errs := make([]error, n)
	for range threads {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for !failed.Load() {
				k := int(next.Add(1)) - 1
				if k >= n {
					return
				}
				if errs[k] = f(k); errs[k] != nil {
					failed.Store(true)
				}
			}
		}()
	}
	wait.Wait()
	for _, err := range errs { // numbers are taken in order and what is taken is done: none before the first that failed is left out
		if err != nil {
			return err
		}
	}
	return nil
}

func isCPU(d gotch.Device) bool { return d.Name == gotch.CPU.Name }

func isFloat(d gotch.DType) bool {
	return d == gotch.Float || d == gotch.Double || d == gotch.Half || d == gotch.BFloat16
}
