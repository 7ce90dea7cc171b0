package experiment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"text/tabwriter"

	"github.com/BurntSushi/toml"
)

// Validator is implemented by configurations that check themselves; Resolve
// calls it last. It should join all its findings.
type Validator interface{ Validate() error }

// BuiltIn is the origin of a value that no file and no flag set.
const BuiltIn = "built-in"

// Value is one leaf of a resolved configuration.
type Value struct {
	Key    string `json:"key"`    // dotted, e.g. weight.group_size
	Value  string `json:"value"`  // as TOML
	Origin string `json:"origin"` // "built-in", "[default]", "[experiment.NAME]" or "-set"
}

// Resolved is an experiment with everything laid over it; its JSON form is what -dry-run -json prints.
type Resolved struct {
	Name   string  `json:"experiment"`
	File   string  `json:"file"`
	Values []Value `json:"values"` // in the order of the struct's fields
	config any
}

// Resolve lays the file's values and then the settings ("key=value", see the
// package comment) over into, a pointer to a struct that holds the defaults,
// and validates the result. All unknown keys and mistyped values are in one
// error; into is then partly changed. An unknown name or a bad setting is a
// usage error.
func (f *File) Resolve(name string, sets []string, into any) (*Resolved, error) {
	dst := reflect.ValueOf(into)
	if dst.Kind() != reflect.Pointer || dst.IsNil() || dst.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("experiment: Resolve wants a pointer to a struct, not %T", into)
	}
	sec, err := f.lookup(name, "")
	if err != nil {
		return nil, &UsageError{err}
	}
	origins := map[string]string{}
	lay := func(origin string, at toml.Key, keys map[string]toml.Primitive) error {
		o := overlay{md: &f.md, file: f.Name, origin: origin, at: at, root: dst.Elem().Type(), origins: origins}
		o.table(dst.Elem(), nil, keys)
		return errors.Join(o.errs...)
	}
	errs := []error{lay("[default]", toml.Key{"default"}, f.defaults)}
	if sec.inherits != "" {
		parent, err := f.parent(name, sec.inherits)
		if err != nil {
			return nil, err
		}
		errs = append(errs, lay("[experiment."+sec.inherits+"]", toml.Key{"experiment", sec.inherits}, parent.keys))
	}
	errs = append(errs, lay("[experiment."+name+"]", toml.Key{"experiment", name}, sec.keys))
	errs = append(errs, laySets(dst.Elem(), sets, origins)...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if v, ok := into.(Validator); ok {
		if err := v.Validate(); err != nil {
			return nil, fmt.Errorf("%s: experiment %s: %w", f.Name, name, err)
		}
	}
	values, err := values(dst.Elem(), origins)
	if err != nil {
		return nil, err
	}
	return &Resolved{Name: name, File: f.Name, Values: values, config: into}, nil
}

// parent looks up what an experiment inherits: another one, which inherits
// nothing itself. One level keeps every value findable in two places.
func (f *File) parent(name, inherits string) (section, error) {
	if inherits == name {
		return section{}, fmt.Errorf("%s: [experiment.%s] inherits itself", f.Name, name)
	}
	p, err := f.lookup(inherits, fmt.Sprintf("[experiment.%s] inherits: ", name))
	if err != nil {
		return section{}, err
	}
	if p.inherits != "" {
		return section{}, fmt.Errorf("%s: [experiment.%s] inherits %q, which itself inherits %q: only one level is allowed",
			f.Name, name, inherits, p.inherits)
	}
	return p, nil
}

// TOML returns the whole configuration as an experiments file: read back with
// -config and the same -experiment it resolves to the same values.
func (r *Resolved) TOML() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Experiment %s, every value resolved.\n\n", r.Name)
	enc := toml.NewEncoder(&b)
	enc.Indent = ""
	doc := map[string]map[string]any{"experiment": {r.Name: r.config}}
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("experiment %s: write as TOML: %w", r.Name, err)
	}
	return b.Bytes(), nil
}

// Print writes the table of -dry-run: key, value, origin.
func (r *Resolved) Print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "key\tvalue\torigin")
	for _, v := range r.Values {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", v.Key, v.Value, v.Origin)
	}
	return tw.Flush()
}

// sortedKeys gives maps one order, so that messages and tables are stable.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
