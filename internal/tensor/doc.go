// Package tensor is the safe way to use gotch.
//
// gotch frees a tensor by finalizer, and the finalizer may run while an operation still reads the tensor: numbers are
// then silently wrong. Go's collector also does not see libtorch's memory, and libtorch's grad mode and gotch's error
// slot belong to the OS thread. So all tensor work here happens inside a scope:
//
//	err := tensor.Run(func(s *tensor.Scope) error {
//		y := s.Add(x, s.MulScalar(z, 2)) // both results belong to s
//		...
//		return nil
//	})
//
// Run locks the OS thread, owns every result until it returns, and turns a failed operation into an error. Scopes nest:
// Nest drops an inner piece's temporaries early, Promote hands a result outwards, Release gives it to the caller.
//
// Operations are methods of the scope so that a layer reads as its formula. A failed one panics with *OpError, which
// only Run (or Catch) recovers; any other panic passes. What gotch would answer with a crash is such an error too: a nil
// or dropped argument, an empty list of sizes, a scope that has ended or that belongs to another goroutine.
//
// A goroutine that computes calls Run itself; tensors may be shared between goroutines, scopes may not. NoGrad, the
// number of threads and the error state are those of the locked thread.
//
// Freed memory is kept for the next step, which asks for the same sizes: see Trim.
package tensor
