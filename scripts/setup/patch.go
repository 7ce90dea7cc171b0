package main

import (
	"bytes"
	"fmt"
	"regexp"
)

// patchRevision names the copy of gotch. Raise it whenever the copy comes out different (a test compares): the folder is
// shared by all checkouts, so its content must never change under one name.
const patchRevision = "r1"

// counts are how often each thing to patch occurs in gotch's generated operators.
type counts struct {
	functions int // that take or have a tensor
	slots     int // results written to malloc(0) memory
	inPlace   int // in-place operators
}

// gotchCounts are those of gotch v0.9.1.
var gotchCounts = counts{functions: 2485, slots: 2447, inPlace: 260}

// patchTensor removes the 100 kB that gotch allocates with every tensor to make Go's collector run. Tensors are dropped by
// their scopes here; the allocation costs 15 of the 20 microseconds of a small operator.
func patchTensor(src []byte) ([]byte, error) {
	line := []byte("\tx.d = new(bigStruct)\n")
	if n := bytes.Count(src, line); n != 1 {
		return nil, fmt.Errorf("ts/tensor.go: %q occurs %d times, 1 expected", line, n)
	}
	return bytes.Replace(src, line, nil, 1), nil
}

var (
	slot      = []byte("ptr := (*lib.Ctensor)(unsafe.Pointer(C.malloc(0)))")
	slots     = []byte("ctensorPtr0 := (*lib.Ctensor)(unsafe.Pointer(C.malloc(0)))")
	inPlace   = []byte("ts.ctensor = *ptr")
	function  = regexp.MustCompile(`(?m)^func ?(\(ts \*Tensor\))? ?(\w+)\(([^)]*)\) ?\([^)]*\) ?\{ ?`)
	parameter = regexp.MustCompile(`(\w+) (\[?\]?\*?[\w.]+)`)
)

// patchGenerated corrects gotch's generated operators:
//
//   - Results arrive in stack slots instead of zero bytes of malloc, which leaked and, from four results on, overflowed.
//   - An in-place operator frees the second handle to its own tensor instead of leaking the first.
//   - Tensor and scalar arguments, and the receiver, stay alive until the call returns. A finalizer may otherwise free
//     them while C++ reads them.
func patchGenerated(src []byte) ([]byte, counts, error) {
	var got counts
	replace := func(old []byte, with string) int {
		n := bytes.Count(src, old)
		src = bytes.ReplaceAll(src, old, []byte(with))
		return n
	}
	// The longer one first: it contains the other.
	got.slots = replace(slots, "var cptrs [8]lib.Ctensor\n  ctensorPtr0 := &cptrs[0]")
	got.slots += replace(slot, "var cptr lib.Ctensor\n  ptr := &cptr")
	got.inPlace = replace(inPlace, "lib.AtFree(*ptr)")
	if n := bytes.Count(src, []byte("C.malloc(0)")); n != 0 {
		return nil, got, fmt.Errorf("ts/tensor-generated.go: %d uses of C.malloc(0) left, 0 expected", n)
	}
	src = function.ReplaceAllFunc(src, func(head []byte) []byte {
		got.functions++
		return keepArguments(head)
	})
	importLine := []byte("import(")
	if n := bytes.Count(src, importLine); n != 1 {
		return nil, got, fmt.Errorf("ts/tensor-generated.go: %q occurs %d times, 1 expected", importLine, n)
	}
	return bytes.Replace(src, importLine, []byte("import(\n  \"runtime\""), 1), got, nil
}

// keepArguments adds the deferred KeepAlive calls to the head of a function.
func keepArguments(head []byte) []byte {
	m := function.FindSubmatch(head)
	out := append(bytes.Clone(head), '\n')
	keep := func(name []byte) { out = fmt.Appendf(out, "  defer runtime.KeepAlive(%s)\n", name) }
	if len(m[1]) > 0 {
		keep([]byte("ts"))
	}
	for _, p := range parameter.FindAllSubmatch(m[3], -1) {
		switch string(p[2]) {
		case "*Tensor", "[]*Tensor", "*Scalar", "[]*Scalar":
			keep(p[1])
		}
	}
	return out
}
