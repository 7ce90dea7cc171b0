package ckpt

import (
	"errors"
	"fmt"
)

// Violations collects the values of a configuration that a package cannot serve, so that one error lists them all.
type Violations struct{ list []error }

// Want notes a value that is not ok: its key, and what was wanted instead.
func (v *Violations) Want(ok bool, key string, value any, want string, args ...any) {
	if !ok {
		v.list = append(v.list, fmt.Errorf("key %q: value %v, want %s", key, value, fmt.Sprintf(want, args...)))
	}
}

// Err is all that was noted, nil for nothing.
func (v *Violations) Err() error { return errors.Join(v.list...) }
