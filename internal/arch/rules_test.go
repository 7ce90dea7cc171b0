package arch

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"
)

// maxLines is the longest file; most have less than half of it.
const maxLines = 400

// maxMain is the longest main.go of an example: a composition, nothing else.
const maxMain = 160

// TestPropertiesAreFixed: a package with property tests fixes what they draw.
func TestPropertiesAreFixed(t *testing.T) {
	draws, fixed := map[string]string{}, map[string]bool{}
	for _, s := range sources(t) {
		for _, i := range s.file.Imports {
			switch i.Path.Value {
			case `"pgregory.net/rapid"`:
				draws[s.dir()] = s.path
			case `"` + module + `/internal/testkit/fixedseed"`:
				fixed[s.dir()] = true
			}
		}
	}
	for dir, file := range draws {
		if dir != "internal/testkit/fixedseed" && !fixed[dir] {
			t.Errorf("%s: property tests without internal/testkit/fixedseed: they would draw others at each run", file)
		}
	}
}

// TestForbiddenCalls: gotch's Must functions and log.Fatal end the process,
// its NoGrad loses gradients, its in-place methods leak; panics are for
// internal/tensor and for what cannot happen. examples/external is a program
// of an ordinary gotch user, and may be one.
func TestForbiddenCalls(t *testing.T) {
	must := regexp.MustCompile(`^Must[A-Z_]`)
	inPlace := regexp.MustCompile(`^[A-Z]\w*_$`)
	for _, s := range sources(t) {
		if s.test() || strings.HasPrefix(s.path, "examples/external/") {
			continue
		}
		imports := s.imports()
		fromGotch := func(x ast.Expr) bool { // a value, or a package that is gotch's
			id, ok := x.(*ast.Ident)
			p, imported := imports[identName(id)]
			return !ok || !imported || strings.HasPrefix(p, "github.com/sugarme/gotch")
		}
		lines := strings.Split(s.text, "\n")
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				line := lines[s.fset.Position(n.Pos()).Line-1]
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "panic" && s.dir() != "internal/tensor" && !strings.Contains(line, "// unreachable") {
					t.Errorf("%s: panic: return an error (or say // unreachable and why)", s.pos(n))
				}
			case *ast.SelectorExpr:
				name := n.Sel.Name
				id, _ := n.X.(*ast.Ident)
				pkg := imports[identName(id)]
				switch {
				case must.MatchString(name) && fromGotch(n.X):
					t.Errorf("%s: %s ends the process on an error; use the form that returns it", s.pos(n), name)
				case inPlace.MatchString(name) && fromGotch(n.X):
					t.Errorf("%s: %s: in-place methods leak; use internal/shim", s.pos(n), name)
				case pkg == "log" && (strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic")):
					t.Errorf("%s: log.%s: return an error", s.pos(n), name)
				case strings.HasPrefix(pkg, "github.com/sugarme/gotch") && strings.HasPrefix(name, "NoGrad"):
					t.Errorf("%s: gotch's %s is wrong; use internal/tensor.NoGrad", s.pos(n), name)
				}
			}
			return true
		})
	}
}

func identName(id *ast.Ident) string {
	if id == nil {
		return ""
	}
	return id.Name
}

func TestFileLengths(t *testing.T) {
	for p, text := range texts(t, ".go", ".cpp", ".h", ".hpp", ".sh", ".py") {
		n := strings.Count(text, "\n")
		if n > maxLines {
			t.Errorf("%s has %d lines, at most %d are allowed", p, n, maxLines)
		}
		if ok, _ := path.Match("examples/*/main.go", p); ok && n > maxMain {
			t.Errorf("%s has %d lines, at most %d are allowed: what it does belongs in a package", p, n, maxMain)
		}
	}
}

// TestNoMachinePaths: nothing may depend on where it was written.
func TestNoMachinePaths(t *testing.T) {
	absolute := regexp.MustCompile(`(^|[^\w.}/-])/(work|root|home|Users|mnt|data|shared)/|\.\./shared\b|["'\x60 =(]/tmp/`)
	self := "internal/arch/rules_test.go"
	for p, text := range texts(t, ".go", ".cpp", ".h", ".hpp", ".sh", ".py", ".md", ".toml", "Makefile", "run", ".mod") {
		if p == self {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			if m := absolute.FindString(line); m != "" {
				t.Errorf("%s:%d: path of one machine: %s", p, i+1, strings.TrimSpace(line))
			}
		}
	}
}

// TestPackageDocs: every package says what it is for, in one of its files.
func TestPackageDocs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		documented[s.dir()] = documented[s.dir()] || s.file.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// standard are methods whose interface says all there is to say.
var standard = map[string]bool{"Error": true, "Unwrap": true, "String": true, "MarshalText": true, "UnmarshalText": true}

// TestExportedDocs: what is exported is documented.
func TestExportedDocs(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() || s.file.Name.Name == "main" {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && !standard[d.Name.Name] && exportedReceiver(d) {
					t.Errorf("%s: %s is exported and has no comment", s.pos(d), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					ts, ok := spec.(*ast.TypeSpec)
					if ok && d.Tok == token.TYPE && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil && ts.Comment == nil {
						t.Errorf("%s: type %s is exported and has no comment", s.pos(d), ts.Name.Name)
					}
				}
			}
		}
	}
}

// exportedReceiver tells whether a function, or its receiver's type, can be
// seen from outside.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	x := d.Recv.List[0].Type
	for {
		switch v := x.(type) {
		case *ast.StarExpr:
			x = v.X
		case *ast.IndexExpr:
			x = v.X
		case *ast.Ident:
			return v.IsExported()
		default:
			return true
		}
	}
}

// TestNames: no rooms for everything, and American spelling in identifiers.
func TestNames(t *testing.T) {
	vague := regexp.MustCompile(`^(util|utils|common|helper|helpers|manager|misc)$`)
	british := regexp.MustCompile(`(?i)(quanti|initiali|normali|seriali|optimi|minimi|maximi)s(e|er|es|ed|ing|ation|ations)([A-Z_]|$)|colour|behaviour|neighbour`)
	for _, s := range sources(t) {
		if vague.MatchString(path.Base(s.dir())) || vague.MatchString(strings.TrimSuffix(path.Base(s.path), ".go")) {
			t.Errorf("%s: a name that says nothing", s.path)
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && british.MatchString(id.Name) {
				t.Errorf("%s: %s: American spelling in identifiers", s.pos(id), id.Name)
			}
			return true
		})
	}
}
