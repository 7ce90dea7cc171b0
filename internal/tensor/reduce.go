package tensor

import (
	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Sum is the sum of all elements, in x's dtype.
func (s *Scope) Sum(x *ts.Tensor) *ts.Tensor {
	s.admit("sum", x)
	t, err := x.Sum(x.DType(), false)
	return s.result("sum", t, err, x)
}

// SumDim sums over dims; keep leaves them with size 1.
func (s *Scope) SumDim(x *ts.Tensor, keep bool, dims ...int64) *ts.Tensor {
	s.admit("sum", x)
	s.some("sum", dims)
	t, err := x.SumDimIntlist(dims, keep, x.DType(), false)
	return s.result("sum", t, err, x)
}

// Mean is the mean of all elements.
func (s *Scope) Mean(x *ts.Tensor) *ts.Tensor {
	s.admit("mean", x)
	t, err := x.Mean(x.DType(), false)
	return s.result("mean", t, err, x)
}

// MeanDim is the mean over dims; keep leaves them with size 1.
func (s *Scope) MeanDim(x *ts.Tensor, keep bool, dims ...int64) *ts.Tensor {
	s.admit("mean", x)
	s.some("mean", dims)
	t, err := x.MeanDim(dims, keep, x.DType(), false)
	return s.result("mean", t, err, x)
}

// Amax is the largest element over dims.
func (s *Scope) Amax(x *ts.Tensor, keep bool, dims ...int64) *ts.Tensor {
	s.admit("amax", x)
	s.some("amax", dims)
	t, err := x.Amax(dims, keep, false)
	return s.result("amax", t, err, x)
}

// Amin is the smallest element over dims.
func (s *Scope) Amin(x *ts.Tensor, keep bool, dims ...int64) *ts.Tensor {
	s.admit("amin", x)
	s.some("amin", dims)
	t, err := x.Amin(dims, keep, false)
	return s.result("amin", t, err, x)
}

// Argmax is the int64 index of the largest element along dim.
func (s *Scope) Argmax(x *ts.Tensor, dim int64) *ts.Tensor {
	s.admit("argmax", x)
	t, err := x.Argmax([]int64{dim}, false, false)
	return s.result("argmax", t, err, x)
}

// Argmin is the int64 index of the smallest element along dim; the first one of equals.
func (s *Scope) Argmin(x *ts.Tensor, dim int64) *ts.Tensor {
	s.admit("argmin", x)
	t, err := x.Argmin([]int64{dim}, false, false)
	return s.result("argmin", t, err, x)
}

// Cdist is the Euclidean distance of each row of x [..., N, D] to each row of y [..., M, D]: [..., N, M].
func (s *Scope) Cdist(x, y *ts.Tensor) *ts.Tensor {
	s.admit("cdist", x, y)
	t, err := ts.Cdist(x, y, 2, nil)
	return s.result("cdist", t, err, x, y)
}

// Cumsum is the running sum along dim.
func (s *Scope) Cumsum(x *ts.Tensor, dim int64) *ts.Tensor {
	s.admit("cumsum", x)
	t, err := x.Cumsum(dim, x.DType(), false)
	return s.result("cumsum", t, err, x)
}

// Softmax along dim, in x's dtype.
func (s *Scope) Softmax(x *ts.Tensor, dim int64) *ts.Tensor {
	s.admit("softmax", x)
	t, err := x.Softmax(dim, x.DType(), false)
	return s.result("softmax", t, err, x)
}

// LogSoftmax along dim, in x's dtype.
func (s *Scope) LogSoftmax(x *ts.Tensor, dim int64) *ts.Tensor {
	s.admit("log_softmax", x)
	t, err := x.LogSoftmax(dim, x.DType(), false)
	return s.result("log_softmax", t, err, x)
}

// Topk is the k largest values along dim, in descending order, and their indices.
func (s *Scope) Topk(x *ts.Tensor, k, dim int64) (values, indices *ts.Tensor) {
	s.admit("topk", x)
	v, i, err := x.Topk(k, dim, true, true, false)
	return s.result("topk", v, err, x), s.Own(i)
}

// Sort sorts along dim.
func (s *Scope) Sort(x *ts.Tensor, dim int64, descending bool) (values, indices *ts.Tensor) {
	s.admit("sort", x)
	v, i, err := x.Sort(dim, descending, false)
	return s.result("sort", v, err, x), s.Own(i)
}

// Linear is x·wᵀ + b; b nil means no bias. x is [..., in], w [out, in], b [out].
func (s *Scope) Linear(x, w, b *ts.Tensor) *ts.Tensor {
	s.admit("linear", x, w)
	if b != nil {
		s.admit("linear", b)
	}
	t, err := shim.Linear(x, w, b)
	return s.result("linear", t, err, x, w, b)
}

// Embedding is the rows ids of w.
func (s *Scope) Embedding(w, ids *ts.Tensor) *ts.Tensor {
	s.admit("embedding", w, ids)
	t, err := ts.Embedding(w, ids, -1, false, false)
	return s.result("embedding", t, err, w, ids)
}

// All tells whether every element of a mask is true.
func (s *Scope) All(x *ts.Tensor) bool {
	s.admit("all", x)
	t, err := x.All(false)
	v, err := Ints(s.To(s.result("all", t, err, x), gotch.Int64))
	s.Check("all", err)
	return v[0] != 0
}
