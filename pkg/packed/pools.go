package packed

import (
	"sync"

	"github.com/qakd/qakd/internal/native"
)

// idle are the pools that no product uses, by their threads. These sleep when there is nothing to do, and live as long as
// the process.
var idle struct {
	sync.Mutex
	of map[int][]*native.Pool
}

// borrow is a pool of n threads for one product. Products at the same time have one each, so that none waits for another.
func borrow(n int) (*native.Pool, error) {
	idle.Lock()
	defer idle.Unlock()
	if free := idle.of[n]; len(free) > 0 {
		idle.of[n] = free[:len(free)-1]
		return free[len(free)-1], nil
	}
	return native.NewPool(n, "")
}

func giveBack(p *native.Pool) {
	idle.Lock()
	defer idle.Unlock()
	if idle.of == nil {
		idle.of = make(map[int][]*native.Pool)
	}
	idle.of[p.Threads()] = append(idle.of[p.Threads()], p)
}
