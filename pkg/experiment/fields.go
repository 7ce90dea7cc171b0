package experiment

import (
	"encoding"
	"reflect"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// field is one configurable field of a struct, with its key in the file.
type field struct {
	name  string
	index []int
	typ   reflect.Type
}

// fields lists a struct's fields as BurntSushi/toml sees them: by tag, else by
// name; "-" and unexported ones are left out; untagged embedded structs are
// flattened.
func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, _, _ := strings.Cut(sf.Tag.Get("toml"), ",")
		if tag == "-" || !sf.IsExported() {
			continue
		}
		if sf.Anonymous && tag == "" && sf.Type.Kind() == reflect.Struct && isTable(sf.Type) {
			for _, sub := range fields(sf.Type) {
				sub.index = append([]int{i}, sub.index...)
				out = append(out, sub)
			}
			continue
		}
		if tag == "" {
			tag = sf.Name
		}
		out = append(out, field{tag, []int{i}, sf.Type})
	}
	return out
}

// names lists the keys of a table type; nil for a map, where any key goes.
func names(t reflect.Type) []string {
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []string
	for _, f := range fields(t) {
		out = append(out, f.name)
	}
	return out
}

var (
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
	tomlType = reflect.TypeFor[toml.Unmarshaler]()
)

// isTable tells whether values of t are tables of keys rather than leaves.
func isTable(t reflect.Type) bool {
	t = deref(t)
	switch {
	case t == reflect.TypeFor[time.Time](), decodesItself(t):
		return false
	case t.Kind() == reflect.Map:
		return t.Key().Kind() == reflect.String
	}
	return t.Kind() == reflect.Struct
}

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(textType) || p.Implements(tomlType)
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// leafType follows a dotted key to its type; nil if there is none.
func leafType(t reflect.Type, key []string) reflect.Type {
	for _, part := range key {
		if t = deref(t); !isTable(t) {
			return nil
		}
		if t.Kind() == reflect.Map {
			t = t.Elem()
			continue
		}
		found := false
		for _, f := range fields(t) {
			if f.name == part {
				t, found = f.typ, true
				break
			}
		}
		if !found {
			return nil
		}
	}
	return t
}

// allKeys lists the dotted keys of all leaves of a struct type.
func allKeys(t reflect.Type, prefix string) []string {
	var out []string
	for _, f := range fields(deref(t)) {
		key := prefix + f.name
		if sub := deref(f.typ); isTable(sub) && sub.Kind() == reflect.Struct {
			out = append(out, allKeys(sub, key+".")...)
			continue
		}
		out = append(out, key)
	}
	return out
}

// wanted describes what a leaf of type t takes, for messages.
func wanted(t reflect.Type) string {
	t = deref(t)
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return `a duration such as "90s"`
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		return "an integer"
	case t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64:
		return "an integer of at least 0"
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
		return "a list, each " + wanted(t.Elem())
	}
	return "a table"
}
