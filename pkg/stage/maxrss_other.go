//go:build !linux

package stage

const maxrssUnit = 1 // ru_maxrss counts bytes
