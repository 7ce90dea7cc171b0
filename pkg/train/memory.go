package train

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"github.com/qakd/qakd/pkg/track"
)

// anonymous is the process's anonymous resident memory, as a value for the metrics: what a leak would let grow. Systems
// without Linux's /proc give none.
func anonymous() []track.Value {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return nil
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if kib, ok := strings.CutPrefix(s.Text(), "RssAnon:"); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(kib, "kB")), 64)
			if err != nil {
				return nil
			}
			return []track.Value{{Name: "anon_mib", V: n / 1024}}
		}
	}
	return nil
}
