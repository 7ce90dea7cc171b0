package train

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Settings are the resolved settings of a run: dotted key to printed value.
type Settings map[string]string

// SettingsOf lists the fields of a configuration struct under their toml tags, nested structs with dots. Untagged fields
// keep their Go name; fields tagged "-" are left out.
func SettingsOf(config any) Settings {
	s := Settings{}
	s.add("", reflect.ValueOf(config))
	return s
}

func (s Settings) add(key string, v reflect.Value) {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if _, printed := v.Interface().(fmt.Stringer); printed || v.Kind() != reflect.Struct {
		s[key] = fmt.Sprint(v.Interface())
		return
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if f.Anonymous && name == "" { // its keys stand beside the others, as in TOML
			s.add(key, v.Field(i))
			continue
		}
		if name == "" {
			name = f.Name
		}
		if key != "" {
			name = key + "." + name
		}
		s.add(name, v.Field(i))
	}
}

// Hash is the SHA-256 of the sorted lines "key = value".
func (s Settings) Hash() string {
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(h, "%s = %s\n", k, s[k])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// differences lists the keys in which s and the saved settings differ, as "key is A, the checkpoint has B".
func (s Settings) differences(saved Settings) []string {
	all := map[string]bool{}
	for _, m := range []Settings{s, saved} {
		for k := range m {
			all[k] = true
		}
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		now, ok := s[k]
		was, had := saved[k]
		switch {
		case !had:
			out = append(out, fmt.Sprintf("%s is %s, the checkpoint has none", k, now))
		case !ok:
			out = append(out, fmt.Sprintf("%s is not set, the checkpoint has %s", k, was))
		case now != was:
			out = append(out, fmt.Sprintf("%s is %s, the checkpoint has %s", k, now, was))
		}
	}
	return out
}
