package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/qakd/qakd"

// source is a parsed Go file of the repository.
type source struct {
	path  string // relative to the root, with slashes
	text  string
	fset  *token.FileSet
	file  *ast.File
	lines int
}

func (s *source) dir() string { return path.Dir(s.path) }
func (s *source) test() bool  { return strings.HasSuffix(s.path, "_test.go") }
func (s *source) pos(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// imports maps the local names of imports to their paths.
func (s *source) imports() map[string]string {
	out := map[string]string{}
	for _, spec := range s.file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser accepted it
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		out[name] = p
	}
	return out
}

// texts returns the repository's text files with one of the suffixes, without
// what set-up, builds and runs make, test data and generated files.
func texts(t *testing.T, suffixes ...string) map[string]string {
	t.Helper()
	root := "../.."
	out := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != root && strings.HasPrefix(name, ".") && name != ".ci" || name == "testdata" || name == "bin" || name == "runs" {
				return filepath.SkipDir
			}
			return nil
		}
		for _, s := range suffixes {
			if !strings.HasSuffix(name, s) || !d.Type().IsRegular() {
				continue
			}
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			if strings.HasPrefix(string(data), "// Code generated") || name == "go.work" {
				return nil
			}
			rel, err := filepath.Rel(root, p)
			if err != nil {
				return err
			}
			out[filepath.ToSlash(rel)] = string(data)
			return nil
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("no files with suffix %v found", suffixes)
	}
	return out
}

// sources parses all Go files.
func sources(t *testing.T) []*source {
	t.Helper()
	var out []*source
	for p, text := range texts(t, ".go") {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, text, parser.ParseComments)
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		out = append(out, &source{p, text, fset, f, strings.Count(text, "\n")})
	}
	return out
}
