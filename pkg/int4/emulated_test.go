package int4

import (
	"maps"
	"slices"

	"github.com/qakd/qakd/pkg/int4/emulated"
)

func init() { maps.Copy(others, emulated.Sets()) }

// sets are the kernels that tests run: this CPU's, and those of others, emulated.
func sets() []string { return append(Kernels(), slices.Sorted(maps.Keys(others))...) }
