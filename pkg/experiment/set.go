package experiment

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// keyPattern is a dotted key; a part may hold what a bare TOML key may.
var keyPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// parseSet parses "key=value" into the same form as a table of a file. The
// value is a TOML value; anything that is none is taken as a bare string, and
// so is everything but a quoted string where the key's type is text (an
// experiment named 42 needs no quotes).
func parseSet(set string, root reflect.Type) (*toml.MetaData, map[string]toml.Primitive, error) {
	key, text, ok := strings.Cut(set, "=")
	key, text = strings.TrimSpace(key), strings.TrimSpace(text)
	if !ok || !keyPattern.MatchString(key) {
		return nil, nil, fmt.Errorf("-set %q: want key=value, e.g. -set seed=7", set)
	}
	if text == "" {
		return nil, nil, fmt.Errorf(`-set %q: no value (an empty string is "")`, set)
	}
	t := leafType(root, strings.Split(key, "."))
	quoted := strings.HasPrefix(text, `"`) || strings.HasPrefix(text, `'`)
	if !isTOMLValue(text) || t != nil && isText(t) && !quoted {
		text = Quote(text)
	}
	keys := map[string]toml.Primitive{}
	md, err := toml.Decode(key+" = "+text, &keys)
	if err != nil {
		return nil, nil, fmt.Errorf("-set %q: %s", set, strings.TrimPrefix(err.Error(), "toml: "))
	}
	return &md, keys, nil
}

// isTOMLValue tells whether text is one TOML value and nothing else: a line
// break must not smuggle in a second key.
func isTOMLValue(text string) bool {
	doc := map[string]any{}
	_, err := toml.Decode("v = "+text, &doc)
	return err == nil && len(doc) == 1
}

func isText(t reflect.Type) bool {
	t = deref(t)
	return t.Kind() == reflect.String || decodesItself(t)
}

// Quote writes a basic TOML string.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// laySets lays settings over dst and notes where each value came from. A bad one is a usage error.
func laySets(dst reflect.Value, sets []string, origins map[string]string) (errs []error) {
	for _, set := range sets {
		md, keys, err := parseSet(set, dst.Type())
		if err == nil {
			o := overlay{md: md, origin: "-set", root: dst.Type(), origins: origins}
			o.table(dst, nil, keys)
			err = errors.Join(o.errs...)
		}
		if err != nil {
			errs = append(errs, &UsageError{err})
		}
	}
	return errs
}

// Overlay lays settings ("key=value") over into, a pointer to a struct that is no experiment but has TOML names, such as
// the sampling of a checkpoint, and validates the result. A bad setting is a usage error.
func Overlay(into any, sets []string) error {
	if err := errors.Join(laySets(reflect.ValueOf(into).Elem(), sets, map[string]string{})...); err != nil {
		return err
	}
	if v, ok := into.(Validator); ok {
		if err := v.Validate(); err != nil {
			return &UsageError{err}
		}
	}
	return nil
}
