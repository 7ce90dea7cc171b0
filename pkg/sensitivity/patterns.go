package sensitivity

import (
	"slices"
	"strings"
)

// kind is a path with a star in the place of each number: what layers that differ in their block alone have in common.
func kind(path string) string {
	segments := strings.Split(path, ".")
	for i, s := range segments {
		if s != "" && strings.Trim(s, "0123456789") == "" {
			segments[i] = "*"
		}
	}
	return strings.Join(segments, ".")
}

// labeled is a path and what it gets.
type labeled[L comparable] struct {
	path  string
	label L
}

// kinds groups paths by kind, in the order of their first.
func kinds[L comparable](list []labeled[L]) (names []string, members map[string][]labeled[L]) {
	members = map[string][]labeled[L]{}
	for _, l := range list {
		k := kind(l.path)
		if members[k] == nil {
			names = append(names, k)
		}
		members[k] = append(members[k], l)
	}
	return names, members
}

// selection are patterns for the paths of a label, which match no others of list: a kind where all have it, else its paths.
func selection[L comparable](list []labeled[L], label L) (patterns []string) {
	names, members := kinds(list)
	for _, name := range names {
		all := members[name]
		var mine []string
		for _, l := range all {
			if l.label == label {
				mine = append(mine, l.path)
			}
		}
		if len(mine) == len(all) && len(all) > 1 {
			mine = []string{name}
		}
		patterns = append(patterns, mine...)
	}
	return patterns
}

// rule gives a label to what its patterns match.
type rule[L comparable] struct {
	patterns []string
	label    L
}

// rules are such that the first that matches a path gives it its label, and what none matches has the label usual: a kind has
// the label of most of its paths, and rules for the others come before those for kinds.
func rules[L comparable](list []labeled[L], usual L) []rule[L] {
	var exceptions, general []rule[L]
	names, members := kinds(list)
	for _, name := range names {
		most := majority(members[name])
		if most != usual {
			pattern := name
			if len(members[name]) == 1 {
				pattern = members[name][0].path
			}
			general = extend(general, pattern, most)
		}
		for _, l := range members[name] {
			if l.label != most {
				exceptions = extend(exceptions, l.path, l.label)
			}
		}
	}
	return append(exceptions, general...)
}

// extend adds a pattern to the rule of a label.
func extend[L comparable](list []rule[L], pattern string, label L) []rule[L] {
	for i := range list {
		if list[i].label == label {
			list[i].patterns = append(list[i].patterns, pattern)
			return list
		}
	}
	return append(list, rule[L]{[]string{pattern}, label})
}

// majority is the label of most, of several such labels the one that comes first.
func majority[L comparable](list []labeled[L]) (most L) {
	count, seen := map[L]int{}, []L{}
	for _, l := range list {
		if count[l.label]++; !slices.Contains(seen, l.label) {
			seen = append(seen, l.label)
		}
	}
	for i, label := range seen {
		if i == 0 || count[label] > count[most] {
			most = label
		}
	}
	return most
}
