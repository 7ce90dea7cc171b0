package sensitivity

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "github.com/qakd/qakd/internal/testkit/fixedseed"
	"github.com/qakd/qakd/pkg/qat"
	"pgregory.net/rapid"
)

func matches(t *rapid.T, patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := qat.Match(p, path)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	})
}

// Patterns, read as configurations read them, give every path its label: selections match no others, and of rules the first
// that matches counts.
func TestPatternsSayTheLabels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []labeled[int]
		for _, k := range []string{"a.layers.%d.mlp.up", "a.layers.%d.mlp.down", "b.head.%d", "a.layers.%d.x.%d"} {
			for i := range rapid.IntRange(0, 12).Draw(t, "members") {
				path := fmt.Sprintf(k, i, i/2)
				if k == "b.head.%d" || k[len(k)-1] != 'd' {
					path = fmt.Sprintf(k, i)
				}
				list = append(list, labeled[int]{path, rapid.IntRange(0, rapid.IntRange(0, 2).Draw(t, "most")).Draw(t, "label")})
			}
		}
		list = append(list, labeled[int]{"a.norm", rapid.IntRange(0, 2).Draw(t, "label")})
		for label := range 3 {
			chosen := selection(list, label)
			for _, l := range list {
				if matches(t, chosen, l.path) != (l.label == label) {
					t.Fatalf("%v and %s with label %d, for label %d", chosen, l.path, l.label, label)
				}
			}
			ordered := rules(list, label)
			for _, l := range list {
				got := label
				for _, r := range ordered {
					if matches(t, r.patterns, l.path) {
						got = r.label
						break
					}
				}
				if got != l.label {
					t.Fatalf("%+v give %s label %d, want %d", ordered, l.path, got, l.label)
				}
			}
		}
	})
}

// Layers of a kind that agree are one pattern; where some differ, they come first.
func TestPatternsAreShort(t *testing.T) {
	var list []labeled[int]
	for i := range 4 {
		list = append(list, labeled[int]{fmt.Sprintf("m.layers.%d.down", i), 1}, labeled[int]{fmt.Sprintf("m.layers.%d.up", i), i / 3})
	}
	if d := cmp.Diff([]string{"m.layers.*.down", "m.layers.3.up"}, selection(list, 1)); d != "" {
		t.Error(d)
	}
	want := []rule[int]{{[]string{"m.layers.3.up"}, 1}, {[]string{"m.layers.*.down"}, 1}}
	if d := cmp.Diff(want, rules(list, 0), cmp.AllowUnexported(rule[int]{})); d != "" {
		t.Error(d)
	}
	want = []rule[int]{{[]string{"m.layers.3.up"}, 1}, {[]string{"m.layers.*.up"}, 0}}
	if d := cmp.Diff(want, rules(list, 1), cmp.AllowUnexported(rule[int]{})); d != "" {
		t.Error(d)
	}
}
