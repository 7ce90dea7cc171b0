package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// room is a row of the table.
type room struct {
	path      string
	torch     bool
	all       bool // may import all rooms below
	mayImport []string
}

var quoted = regexp.MustCompile("`([^`]+)`")

// rooms reads the table of ARCHITECTURE.md, from the top room to the bottom.
func rooms(t *testing.T) []room {
	t.Helper()
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	var out []room
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 7 || !regexp.MustCompile(`^ L\d $`).MatchString(cells[1]) {
			continue
		}
		names := quoted.FindAllStringSubmatch(cells[2], -1)
		torch := strings.TrimSpace(cells[4])
		if len(names) != 1 || torch != "yes" && torch != "no" {
			t.Fatalf("ARCHITECTURE.md: cannot read the row %q", line)
		}
		r := room{path: names[0][1], torch: torch == "yes", all: strings.Contains(cells[5], "all below")}
		for _, m := range quoted.FindAllStringSubmatch(cells[5], -1) {
			r.mayImport = append(r.mayImport, m[1])
		}
		out = append(out, r)
	}
	if len(out) < 10 {
		t.Fatalf("ARCHITECTURE.md: found %d rooms", len(out))
	}
	return out
}

// find returns the index of the room that a package folder lies in, or -1.
func find(rs []room, dir string) int {
	return slices.IndexFunc(rs, func(r room) bool { return dir == r.path || strings.HasPrefix(dir, r.path+"/") })
}

// TestTable: every arrow of the table points down to a room that exists, a
// room without torch imports none with it, and each room has a folder.
func TestTable(t *testing.T) {
	rs := rooms(t)
	for i, r := range rs {
		if st, err := os.Stat(filepath.Join("../..", r.path)); err != nil || !st.IsDir() {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", r.path)
		}
		for _, to := range r.mayImport {
			j := slices.IndexFunc(rs, func(o room) bool { return o.path == to })
			switch {
			case j < 0:
				t.Errorf("%s may import %s, which is no room", r.path, to)
			case j <= i:
				t.Errorf("%s may import %s, which is not below it", r.path, to)
			case rs[j].torch && !r.torch:
				t.Errorf("%s has no torch but may import %s, which has", r.path, to)
			}
		}
	}
}

// TestArrows: no import goes where the table draws no arrow. Tests may use
// internal/testkit and whatever their package's room may see.
func TestArrows(t *testing.T) {
	rs := rooms(t)
	for _, s := range sources(t) {
		from := find(rs, s.dir())
		if s.dir() == "." || strings.HasPrefix(s.path, "examples/external/") || strings.HasPrefix(s.path, "tools/") {
			continue
		}
		if from < 0 {
			t.Errorf("%s lies in no room of ARCHITECTURE.md", s.path)
			continue
		}
		for _, p := range s.imports() {
			if p == module { // the root package holds embedded files only
				continue
			}
			dir, own := strings.CutPrefix(p, module+"/")
			if !own {
				if strings.HasPrefix(p, "github.com/sugarme/gotch") && !rs[from].torch {
					t.Errorf("%s imports %s, but %s is a room without torch", s.path, p, rs[from].path)
				}
				continue
			}
			to := find(rs, dir)
			if to < 0 || to == from || s.test() && rs[to].path == "internal/testkit" {
				continue
			}
			if rs[from].all && to > from || slices.Contains(rs[from].mayImport, rs[to].path) {
				continue
			}
			if s.test() && to > from { // a test may build its input with any room below
				continue
			}
			t.Errorf("%s imports %s: ARCHITECTURE.md draws no arrow from %s to %s", s.path, dir, rs[from].path, rs[to].path)
		}
	}
}

// TestWithoutTorch builds the rooms without torch as a machine without a C++
// compiler would.
func TestWithoutTorch(t *testing.T) {
	args := []string{"build"}
	for _, r := range rooms(t) {
		if _, err := os.Stat(filepath.Join("../..", r.path)); err == nil && !r.torch {
			args = append(args, "./"+r.path+"/...")
		}
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("CGO_ENABLED=0 go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
