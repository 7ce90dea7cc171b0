// Package arch holds no code, only tests: which room may import which (the
// table of ARCHITECTURE.md), which rooms build without torch, which calls are
// forbidden, how long files may be, and that what is exported is documented.
package arch
