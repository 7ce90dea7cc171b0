package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units of ParseBytes: decimal ones, binary ones.
var units = map[string]float64{
	"": 1, "B": 1,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
}

// ParseBytes reads a size such as "1.2GB", "900 MiB" or "4096": a positive number with a unit in either case, B, KB, MB, GB and
// TB by thousands, KiB, MiB, GiB and TiB by 1024. Fractions of a byte are dropped.
func ParseBytes(text string) (int64, error) {
	trimmed := strings.TrimSpace(text)
	at := strings.IndexFunc(trimmed, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if at < 0 {
		at = len(trimmed)
	}
	factor, ok := units[strings.ToUpper(strings.TrimSpace(trimmed[at:]))]
	v, err := strconv.ParseFloat(trimmed[:at], 64)
	if v *= factor; !ok || err != nil || v < 1 || v >= math.MaxInt64 {
		return 0, fmt.Errorf("size %q, want a positive number with a unit, of B, KB, MB, GB, TB, KiB, MiB, GiB, TiB", text)
	}
	return int64(v), nil
}
