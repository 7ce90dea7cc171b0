package testkit

import "context"

// Fuse is a context that is canceled once it has been asked for its error Left times: it stops work in the middle, at the
// same place in every run. It serves one goroutine.
type Fuse struct {
	context.Context
	Left int
}

// NewFuse is a fuse of the background context.
func NewFuse(n int) *Fuse { return &Fuse{context.Background(), n} }

// Err counts.
func (f *Fuse) Err() error {
	if f.Left--; f.Left < 0 {
		return context.Canceled
	}
	return nil
}
