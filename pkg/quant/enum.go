package quant

import (
	"fmt"
	"strings"
)

func name(words []string, i int) string {
	if i < 0 || i >= len(words) {
		return fmt.Sprintf("invalid(%d)", i)
	}
	return words[i]
}

func marshal(kind string, words []string, i int) ([]byte, error) {
	if i < 0 || i >= len(words) {
		return nil, fmt.Errorf("quant: %s %d, want 0...%d", kind, i, len(words)-1)
	}
	return []byte(words[i]), nil
}

func unmarshal(kind string, words []string, b []byte, to *int) error {
	for i, w := range words {
		if w == string(b) {
			*to = i
			return nil
		}
	}
	return fmt.Errorf("quant: %s %q, want one of %s", kind, b, strings.Join(words, ", "))
}
