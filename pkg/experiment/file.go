package experiment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// DefaultFile is the file that Find looks for in the working folder.
const DefaultFile = "experiments.toml"

// EmbeddedName is what messages call the copy compiled into the program.
const EmbeddedName = "built-in " + DefaultFile

// File is a parsed experiments file.
type File struct {
	Name        string // path as messages show it
	md          toml.MetaData
	defaults    map[string]toml.Primitive
	experiments map[string]section
	order       []string // names in the order of the file
}

// section is one [experiment.NAME] without its reserved keys.
type section struct {
	inherits, description string
	keys                  map[string]toml.Primitive
}

// Entry is a line of List.
type Entry struct{ Name, Description string }

// Find reads the experiments file: path if it is not empty, else
// experiments.toml in the working folder, else the embedded copy.
func Find(path string, embedded []byte) (*File, error) {
	name := path
	if name == "" {
		name = DefaultFile
	}
	data, err := os.ReadFile(name)
	switch {
	case err == nil:
		return Parse(name, data)
	case path == "" && errors.Is(err, fs.ErrNotExist) && embedded != nil:
		return Parse(EmbeddedName, embedded)
	}
	return nil, fmt.Errorf("experiment: %w", err)
}

// Parse reads an experiments file from memory; name appears in messages.
func Parse(name string, data []byte) (*File, error) {
	f := &File{Name: name, experiments: map[string]section{}}
	top := map[string]toml.Primitive{}
	md, err := toml.Decode(string(data), &top)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "toml: "))
	}
	f.md = md
	for _, key := range md.Keys() {
		if len(key) == 2 && key[0] == "experiment" {
			f.order = append(f.order, key[1])
		}
		if len(key) == 1 && key[0] != "default" && key[0] != "experiment" {
			return nil, fmt.Errorf("%s: unknown key %q: a file holds [default] and [experiment.NAME] tables", name, key[0])
		}
	}
	if prim, ok := top["default"]; ok {
		if f.defaults, err = f.table(prim, "default"); err != nil {
			return nil, err
		}
	}
	if prim, ok := top["experiment"]; ok {
		all, err := f.table(prim, "experiment")
		if err != nil {
			return nil, err
		}
		for exp, prim := range all {
			if f.experiments[exp], err = f.section(exp, prim); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// table decodes one level of a table.
func (f *File) table(prim toml.Primitive, what string) (map[string]toml.Primitive, error) {
	var out map[string]toml.Primitive
	if err := f.md.PrimitiveDecode(prim, &out); err != nil || out == nil {
		return nil, fmt.Errorf("%s: %s must be a table", f.Name, what)
	}
	return out, nil
}

func (f *File) section(name string, prim toml.Primitive) (section, error) {
	keys, err := f.table(prim, "experiment."+name)
	if err != nil {
		return section{}, err
	}
	s := section{keys: keys}
	for key, dst := range map[string]*string{"inherits": &s.inherits, "description": &s.description} {
		if prim, ok := keys[key]; ok {
			if err := f.md.PrimitiveDecode(prim, dst); err != nil {
				return section{}, fmt.Errorf("%s: [experiment.%s] %s must be a string", f.Name, name, key)
			}
			delete(keys, key)
		}
	}
	return s, nil
}

// Names lists the experiments in the order of the file.
func (f *File) Names() []string { return slices.Clone(f.order) }

// List describes the experiments in the order of the file.
func (f *File) List() []Entry {
	out := make([]Entry, 0, len(f.order))
	for _, name := range f.order {
		out = append(out, Entry{name, f.experiments[name].description})
	}
	return out
}

// lookup finds an experiment; by tells who asks, for the message.
func (f *File) lookup(name, by string) (section, error) {
	s, ok := f.experiments[name]
	if ok {
		return s, nil
	}
	return section{}, fmt.Errorf("%s: %sunknown experiment %q%s (known: %s)",
		f.Name, by, name, didYouMean(name, f.order), strings.Join(f.order, ", "))
}
