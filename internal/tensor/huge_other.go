//go:build !linux

package tensor

// adviseHuge does nothing: only Linux is asked for huge pages.
func adviseHuge([]byte) {}
