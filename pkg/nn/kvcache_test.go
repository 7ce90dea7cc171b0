package nn_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// A cache returns what was appended, over many growths, after sequences left and after a reset with other sizes; and a
// step moves one row, not all: the storage stays where it is.
func TestKVCache(t *testing.T) {
	err := nn.Run(func(c *nn.Context) error {
		tensor.Seed(1)
		kv := new(nn.KVCache)
		defer kv.Close()
		var moves int
		for _, B := range []int64{3, 2} {
			kv.Reset()
			var wantK, wantV *ts.Tensor
			var at uintptr
			for i, T := range append([]int64{7, 40}, slices.Repeat([]int64{1}, 150)...) {
				k, v := c.Transpose(c.Randn(B, T, 2, 4), 1, 2), c.Randn(B, 2, T, 4)
				if wantK == nil {
					wantK, wantV = k, v
				} else {
					wantK, wantV = c.Cat(2, wantK, k), c.Cat(2, wantV, v)
				}
				gotK, gotV := kv.Append(c, k, v)
				same(t, fmt.Sprintf("B %d keys after append %d", B, i), gotK, wantK)
				same(t, fmt.Sprintf("B %d values after append %d", B, i), gotV, wantV)
				p, err := gotK.DataPtr()
				if err != nil {
					return err
				}
				if uintptr(p) != at {
					moves, at = moves+1, uintptr(p)
				}
				if i == 20 {
					ids := c.FromInts([]int64{B - 1, 0}, 2)
					kv.Keep(c, ids)
					wantK, wantV = c.IndexSelect(wantK, 0, ids), c.IndexSelect(wantV, 0, ids)
					B = 2
				}
			}
		}
		if moves > 12 { // each time: 7 rows, 47 rows, the choice, twice or so on the way to 197
			t.Errorf("the rows moved %d times in %d appends", moves, 2*152)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, what string, got, want *ts.Tensor) {
	t.Helper()
	g, err := tensor.Floats(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := tensor.Floats(want)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g, w) {
		t.Fatalf("%s differ", what)
	}
}
