package qat

import (
	"fmt"
	"path"
	"strings"
)

// Match tells whether a dotted path matches a pattern (see the package comment). A malformed pattern is an error.
func Match(pattern, name string) (bool, error) {
	segments := strings.Split(pattern, ".")
	for _, s := range segments {
		if _, err := path.Match(s, ""); err != nil || s == "" {
			return false, fmt.Errorf("qat: pattern %q: segment %q is malformed", pattern, s)
		}
	}
	return match(segments, strings.Split(name, ".")), nil
}

func match(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(name) + 1 {
				if match(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, _ := path.Match(pattern[0], name[0]); !ok { // Match has checked the pattern
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}

// matchAny tells whether any of the checked patterns matches, and marks those that do.
func matchAny(patterns []string, name string, used map[string]bool) bool {
	var any bool
	for _, p := range patterns {
		if match(strings.Split(p, "."), strings.Split(name, ".")) {
			used[p], any = true, true
		}
	}
	return any
}
