package tensor

import (
	"math"
	"sync"

	"github.com/sugarme/gotch/ts"
)

// A number that goes with an operation is a C++ object with a finalizer: making one costs as much as a small operation.
// It never changes, so the process shares one per value, up to a limit; the rest live as long as the scope.
type scalarKey struct {
	bits    uint64
	integer bool
}

var scalars = struct {
	sync.RWMutex
	byValue map[scalarKey]*ts.Scalar
}{byValue: make(map[scalarKey]*ts.Scalar)}

const maxScalars = 4096

func (s *Scope) scalar(v float64) *ts.Scalar {
	return s.sharedScalar(scalarKey{bits: math.Float64bits(v)}, func() *ts.Scalar { return ts.FloatScalar(v) })
}

func (s *Scope) intScalar(v int64) *ts.Scalar {
	return s.sharedScalar(scalarKey{bits: uint64(v), integer: true}, func() *ts.Scalar { return ts.IntScalar(v) })
}

func (s *Scope) sharedScalar(key scalarKey, make func() *ts.Scalar) *ts.Scalar {
	scalars.RLock()
	c := scalars.byValue[key]
	scalars.RUnlock()
	if c != nil {
		return c
	}
	c = make()
	scalars.Lock()
	defer scalars.Unlock()
	switch other := scalars.byValue[key]; {
	case other != nil:
		return other
	case len(scalars.byValue) < maxScalars:
		scalars.byValue[key] = c
	case !abandon:
		s.scalars = append(s.scalars, c)
	}
	return c
}
