package native_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
)

// A table's weights are its codes times their scales, for widths that fill their last word and others.
func TestTable(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 1))
	p := newPool(t, 1)
	for _, bits := range []int{4, 8} {
		for _, size := range [][3]int{{5, 32, 1}, {3, 12, 3}, {18, 20, 2}} {
			rows, cols, groups := size[0], size[1], size[2]
			per := 32 / bits
			words := make([]uint32, rows*((cols+per-1)/per))
			scale, want := random(r, rows*groups, 1), make([]float32, rows*cols)
			for n := range rows {
				for k := range cols {
					code := r.IntN(1 << bits)
					words[n*((cols+per-1)/per)+k/per] |= uint32(code) << (k % per * bits)
					want[k*rows+n] = float32(code-1<<(bits-1)) * scale[n*groups+k/(cols/groups)]
				}
			}
			var pin runtime.Pinner
			pin.Pin(&words[0])
			defer pin.Unpin()
			m, err := native.NewTable(bits, rows, cols, unsafe.Pointer(&words[0]), scale)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			x, y := make([]float32, cols*cols), make([]float32, rows*cols) // each number of the width alone
			for k := range cols {
				x[k*cols+k] = 1
			}
			if err := p.Apply(m, x, y); err != nil {
				t.Fatal(err)
			}
			wantNear(t, fmt.Sprint(bits, " bits ", size), y, want, 0)
		}
	}
	word := uint32(0)
	if _, err := native.NewTable(4, 2, 8, unsafe.Pointer(&word), make([]float32, 3)); err == nil || !strings.Contains(err.Error(), "a table 2×8 of 4 bits with 3 scales") {
		t.Errorf("error %v, want the sizes", err)
	}
}
