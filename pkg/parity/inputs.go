package parity

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch/ts"
)

// inputs is what a section works with.
type inputs struct {
	f    *fixture
	c    *nn.Context
	m    *talker.Model
	file string
	out  results
}

// has tells whether all these goldens of the section's file are there.
func (x *inputs) has(names ...string) bool { return x.hasIn(x.file, names...) }

func (x *inputs) hasIn(file string, names ...string) bool {
	return !slices.ContainsFunc(names, func(n string) bool {
		_, ok := x.f.values[[2]string{file, n}]
		return !ok
	})
}

// tensor is a golden, in the context's scope; has must have said that it is there.
func (x *inputs) tensor(name string) *ts.Tensor { return x.tensorIn(x.file, name) }

func (x *inputs) tensorIn(file, name string) *ts.Tensor {
	t, err := x.f.values[[2]string{file, name}].tensor()
	x.c.Check("golden "+name, err)
	return x.c.Own(t)
}

// float is a golden in the model's dtype.
func (x *inputs) float(file, name string) *ts.Tensor {
	return x.c.To(x.tensorIn(file, name), x.m.DType)
}

func (x *inputs) ints(name string) []int64 {
	v, err := x.f.values[[2]string{x.file, name}].ints()
	x.c.Check("golden "+name, err)
	return v
}

func (x *inputs) shape(name string) []int64 { return x.f.values[[2]string{x.file, name}].info.Shape }

// fail records why a golden cannot be computed.
func (x *inputs) fail(name, format string, args ...any) {
	x.out[name] = computed{err: fmt.Errorf(format, args...)}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// wide repeats a mask of rows for each of their n elements.
func wide(mask []int64, n int64) []bool {
	out := make([]bool, 0, int64(len(mask))*n)
	for _, v := range mask {
		for range n {
			out = append(out, v == 1)
		}
	}
	return out
}
