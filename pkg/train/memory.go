package train

import (
	"github.com/qakd/qakd/internal/memory"
	"github.com/qakd/qakd/pkg/track"
)

// anonymous is the process's anonymous resident memory, as a value for the metrics: what a leak would let grow. Systems
// without Linux's /proc give none.
func anonymous() []track.Value {
	u, err := memory.Now()
	if err != nil {
		return nil
	}
	return []track.Value{{Name: "anon_mib", V: float64(u.Anonymous) / (1 << 20)}}
}
