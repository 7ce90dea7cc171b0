package nn

import (
	"fmt"
	"sync"
	"testing"
)

// each takes every number once, on any number of goroutines, and of several errors returns the first one's.
func TestEach(t *testing.T) {
	for _, threads := range []int{1, 3, 100} {
		for _, n := range []int{0, 1, 2, 50} {
			var mu sync.Mutex
			seen := map[int]int{}
			err := each(n, threads, func(k int) error {
				mu.Lock()
				defer mu.Unlock()
				seen[k]++
				return nil
			})
			if err != nil || len(seen) != n {
				t.Errorf("%d threads: %d of %d numbers, %v", threads, len(seen), n, err)
			}
			for k, times := range seen {
				if times != 1 {
					t.Errorf("%d threads: number %d was taken %d times", threads, k, times)
				}
			}
		}
		err := each(50, threads, func(k int) error {
			if k >= 20 {
				return fmt.Errorf("number %d", k)
			}
			return nil
		})
		if err == nil || err.Error() != "number 20" {
			t.Errorf("%d threads: error %v, want that of number 20", threads, err)
		}
	}
}
