package experiment

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// KeyError is an unknown key or a value that its key cannot take.
type KeyError struct {
	File    string // "" for -set
	Section string // "[default]", "[experiment.NAME]" or "-set"
	Key     string // dotted
	Value   string // as TOML; "" for an unknown key
	Reason  string
}

// Error formats "experiments.toml: [experiment.x] key = value: reason".
func (e *KeyError) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	b.WriteString(e.Section + " " + e.Key)
	if e.Value != "" {
		b.WriteString(" = " + e.Value)
	}
	return b.String() + ": " + e.Reason
}

// Choices may be implemented by enum types (with UnmarshalText): a bad value's
// message then names the valid ones and the nearest.
type Choices interface{ Choices() []string }

// overlay lays one source of values over a struct, leaf by leaf, so that each
// leaf can be told where it came from and an error knows its key.
type overlay struct {
	md           *toml.MetaData
	file, origin string
	at           toml.Key // where the keys lie in their document
	root         reflect.Type
	origins      map[string]string // dotted key -> origin
	errs         []error
}

func (o *overlay) fail(key []string, value, format string, args ...any) {
	o.errs = append(o.errs, &KeyError{o.file, o.origin, strings.Join(key, "."), value, fmt.Sprintf(format, args...)})
}

// table lays keys over the struct or map dst.
func (o *overlay) table(dst reflect.Value, path []string, keys map[string]toml.Primitive) {
	if dst.Kind() == reflect.Map {
		o.mapTable(dst, path, keys)
		return
	}
	fs := fields(dst.Type())
	for _, name := range sortedKeys(keys) {
		key := append(slices.Clone(path), name)
		i := slices.IndexFunc(fs, func(f field) bool { return f.name == name })
		if i < 0 {
			o.unknown(dst.Type(), path, name)
			continue
		}
		o.value(dst.FieldByIndex(fs[i].index), key, keys[name])
	}
}

// mapTable merges into a copy: the default's map may be shared.
func (o *overlay) mapTable(dst reflect.Value, path []string, keys map[string]toml.Primitive) {
	out := reflect.MakeMap(dst.Type())
	for it := dst.MapRange(); it.Next(); {
		out.SetMapIndex(it.Key(), it.Value())
	}
	for _, name := range sortedKeys(keys) {
		elem := reflect.New(dst.Type().Elem()).Elem()
		k := reflect.ValueOf(name).Convert(dst.Type().Key())
		if old := out.MapIndex(k); old.IsValid() {
			elem.Set(old)
		}
		o.value(elem, append(slices.Clone(path), name), keys[name])
		out.SetMapIndex(k, elem)
	}
	dst.Set(out)
}

// value sets one field, map entry or nested table.
func (o *overlay) value(dst reflect.Value, key []string, prim toml.Primitive) {
	if !isTable(dst.Type()) {
		o.leaf(dst, key, prim)
		return
	}
	var keys map[string]toml.Primitive
	if err := o.md.PrimitiveDecode(prim, &keys); err != nil || keys == nil {
		o.fail(key, rawValue(o.md, prim), "want a table of keys%s", keysOf(deref(dst.Type())))
		return
	}
	for dst.Kind() == reflect.Pointer {
		fresh := reflect.New(dst.Type().Elem())
		if !dst.IsNil() {
			fresh.Elem().Set(dst.Elem()) // never write through the default's pointer
		}
		dst.Set(fresh)
		dst = dst.Elem()
	}
	o.table(dst, key, keys)
}

// leaf decodes one value into fresh memory: decoding a list in place would
// write into the default's array.
func (o *overlay) leaf(dst reflect.Value, key []string, prim toml.Primitive) {
	fresh := reflect.New(dst.Type())
	var raw any
	err := o.md.PrimitiveDecode(prim, &raw)
	if err == nil {
		err = o.md.PrimitiveDecode(prim, fresh.Interface())
	}
	if n, ok := raw.(int64); err == nil && ok && n < 0 && isUnsigned(deref(dst.Type())) {
		err = errors.New("negative") // the decoder lets -1 through as 2^64-1
	}
	if err != nil {
		o.fail(key, format(raw), "%s", reason(dst.Type(), raw, err))
		return
	}
	if bad := o.undecoded(dst.Type(), key); bad != "" {
		o.fail(key, "", "unknown key %s in the list%s", bad, keysOf(elemType(dst.Type())))
		return
	}
	dst.Set(fresh.Elem())
	o.origins[strings.Join(key, ".")] = o.origin
}

// undecoded names a key inside a list of tables that no field took.
func (o *overlay) undecoded(t reflect.Type, key []string) string {
	if e := elemType(t); e == nil || !isTable(e) {
		return ""
	}
	full := append(slices.Clone(o.at), key...)
	for _, k := range o.md.Undecoded() { // also lists what other experiments hold
		if len(k) > len(full) && slices.Equal(k[:len(full)], full) {
			return k[len(full):].String()
		}
	}
	return ""
}

func elemType(t reflect.Type) reflect.Type {
	if t = deref(t); t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		return deref(t.Elem())
	}
	return nil
}

func isUnsigned(t reflect.Type) bool { return t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64 }

// unknown reports a key that the struct lacks: the nearest of this table, else
// a key of that name elsewhere, and all keys of the table.
func (o *overlay) unknown(t reflect.Type, path []string, name string) {
	here := names(t)
	hint := didYouMean(name, here)
	if hint == "" {
		for _, full := range allKeys(o.root, "") {
			if strings.HasSuffix(full, "."+name) {
				hint = fmt.Sprintf(", did you mean %q?", full)
				break
			}
		}
	}
	o.fail(append(slices.Clone(path), name), "", "unknown key%s%s", hint, keysOf(t))
}

func keysOf(t reflect.Type) string {
	if t == nil || t.Kind() != reflect.Struct {
		return ""
	}
	return " (keys here: " + strings.Join(names(t), ", ") + ")"
}

// reason explains why raw does not fit a leaf of type t.
func reason(t reflect.Type, raw any, err error) string {
	base := deref(t)
	if c, ok := reflect.New(base).Interface().(Choices); ok {
		return fmt.Sprintf("not a choice%s (choices: %s)", didYouMean(fmt.Sprint(raw), c.Choices()), strings.Join(c.Choices(), ", "))
	}
	var pe toml.ParseError
	if decodesItself(base) && errors.As(err, &pe) {
		return pe.Message // the type's own words
	}
	if n, ok := raw.(int64); ok && base.Kind() != reflect.String && base.Kind() != reflect.Bool && base.Kind() != reflect.Slice {
		return fmt.Sprintf("%d is out of range, want %s%s", n, wanted(t), limits(base))
	}
	return "want " + wanted(t)
}

// limits names the range of the small integer types.
func limits(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int8:
		return fmt.Sprintf(" between %d and %d", math.MinInt8, math.MaxInt8)
	case reflect.Int16:
		return fmt.Sprintf(" between %d and %d", math.MinInt16, math.MaxInt16)
	case reflect.Int32:
		return fmt.Sprintf(" between %d and %d", math.MinInt32, math.MaxInt32)
	}
	return ""
}
