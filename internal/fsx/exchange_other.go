//go:build !linux

package fsx

import "errors"

// exchange is offered by Linux only; ReplaceDir then takes two renames.
func exchange(_, _ string) error { return errors.ErrUnsupported }
