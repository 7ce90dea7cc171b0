package tensor

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/qakd/qakd/internal/shim"
)

// Each calls f(0) … f(n-1), as many at a time as there are threads, each on an OS thread of its own with its share of
// libtorch's threads, and returns the error of the lowest number that failed; after one no other begins. It is for
// independent pieces of small operations, which several threads hardly speed up. With one thread it is a loop.
func Each(n int, f func(i int) error) error {
	threads := Threads()
	workers := min(threads, n)
	if workers < 2 {
		for i := range n {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, n)
	var next atomic.Int64
	var failed atomic.Bool
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			defer shared(threads / workers)()
			for i := int(next.Add(1)) - 1; i < n && !failed.Load(); i = int(next.Add(1)) - 1 {
				if errs[i] = f(i); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Beside calls other on an OS thread of its own while here runs on this one, each with half of libtorch's threads; with
// one thread it calls other, then here. Tensors of this thread's scopes are not other's to use, except as inputs. It
// returns other's error, after both have ended.
func Beside(other func() error, here func()) (err error) {
	threads := Threads()
	if threads < 2 {
		if err := other(); err != nil {
			return err
		}
		here()
		return nil
	}
	done := make(chan error, 1)
	go func() {
		defer shared(threads / 2)()
		done <- other()
	}()
	defer func() { err = <-done }() // also when here panics: other may use what the caller is about to free
	defer shared(threads - threads/2)()
	here()
	return nil
}

// shared gives the calling goroutine an OS thread of its own with n of libtorch's threads, until the result is called.
func shared(n int) (end func()) {
	runtime.LockOSThread()
	was := shim.ShareThreads(n)
	return func() {
		shim.ShareThreads(was)
		runtime.UnlockOSThread()
	}
}
