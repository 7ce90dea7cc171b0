//go:build !linux

package contest

import "errors"

// Realtime is not to be had on this system.
func Realtime(...int) error { return errors.New("only Linux has it here") }

// Ordinary has nothing to take away.
func Ordinary(...int) error { return nil }
