package experiment

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

// values lists the leaves of a resolved struct in the order of its fields.
func values(v reflect.Value, origins map[string]string) ([]Value, error) {
	var out []Value
	var walk func(v reflect.Value, key string) error
	walk = func(v reflect.Value, key string) error {
		for v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		dot := key
		if dot != "" {
			dot += "."
		}
		switch {
		case v.Kind() == reflect.Pointer: // unset: nothing to print or to write
			return nil
		case !isTable(v.Type()):
			origin, ok := origins[key]
			if !ok {
				origin = BuiltIn
			}
			out = append(out, Value{key, format(v.Interface()), origin})
			return nil
		case v.Kind() == reflect.Map:
			byName := map[string]reflect.Value{}
			for it := v.MapRange(); it.Next(); {
				byName[it.Key().String()] = it.Value()
			}
			for _, name := range sortedKeys(byName) {
				if err := walk(byName[name], dot+name); err != nil {
					return err
				}
			}
			return nil
		}
		for _, f := range fields(v.Type()) {
			if err := walk(v.FieldByIndex(f.index), dot+f.name); err != nil {
				return err
			}
		}
		return nil
	}
	return out, walk(v, "")
}

// format shows a value as TOML would write it.
func format(v any) string {
	text, err := toml.Marshal(map[string]any{"v": v})
	line, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "v = ")
	if err != nil || !ok {
		return fmt.Sprintf("%+v", v) // e.g. a list of tables, which has no one-line form
	}
	return line
}

// rawValue shows what the file holds at prim.
func rawValue(md *toml.MetaData, prim toml.Primitive) string {
	var raw any
	if err := md.PrimitiveDecode(prim, &raw); err != nil {
		return ""
	}
	return format(raw)
}
