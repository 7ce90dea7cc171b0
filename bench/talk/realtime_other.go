//go:build !linux

package main

import "errors"

func realtime(...int) error { return errors.New("only Linux has it here") }
