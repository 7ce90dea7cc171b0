package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// link writes the three things that a checkout holds: .deps, go.work and the flags of internal/shim.
func (s *session) link(l libtorch, gotch string) error {
	if err := replaceLink(l.dir, filepath.Join(s.root, ".deps")); err != nil {
		return err
	}
	version, err := goLine(s.root)
	if err != nil {
		return err
	}
	work := fmt.Sprintf("go %s\n\nuse .\n\nreplace %s => %s\n", version, gotchModule, quote(gotch))
	if err := replaceFile(filepath.Join(s.root, "go.work"), []byte(work)); err != nil {
		return err
	}
	// The folder's name is in the file so that the Go build cache tells one libtorch from another.
	flags := cgoFile("shim", "libtorch: "+l.dir, s.platform.shimFlags(l.ABI))
	return replaceFile(filepath.Join(s.root, "internal", "shim", "cgo_flags.go"), flags)
}

// writeModuleWork writes the go.work of another module that imports this one.
func writeModuleWork(dir, root, gotch string) error {
	theirs, err := goLine(dir)
	if err != nil {
		return err
	}
	ours, err := goLine(root)
	if err != nil {
		return err
	}
	if older(theirs, ours) {
		theirs = ours
	}
	work := fmt.Sprintf("go %s\n\nuse .\n\nreplace (\n\t%s => %s\n\t%s => %s\n)\n", theirs, gotchModule, quote(gotch), ourModule, quote(root))
	return replaceFile(filepath.Join(dir, "go.work"), []byte(work))
}

var goVersion = regexp.MustCompile(`(?m)^go (\d[\w.]*)`)

// goLine is the version of the go line of dir's go.mod.
func goLine(dir string) (string, error) {
	path := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	m := goVersion.FindSubmatch(data)
	if m == nil {
		return "", fmt.Errorf("%s: no go line", path)
	}
	return string(m[1]), nil
}

// older compares versions such as 1.9 and 1.26.0 by their numbers.
func older(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(x) || i < len(y); i++ {
		if n, m := number(x, i), number(y, i); n != m {
			return n < m
		}
	}
	return false
}

func number(parts []string, i int) int {
	if i >= len(parts) { // 1.26 comes before 1.26.0
		return -1
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil { // 26rc1 comes before 26
		return -1
	}
	return n
}

// quote writes a path as go.work takes it.
func quote(path string) string {
	if strings.ContainsAny(path, " \t'`\"") {
		return strconv.Quote(path)
	}
	return path
}

// replaceFile puts data at path in one step, unless it is there already.
func replaceFile(path string, data []byte) error {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// replaceLink makes path a link to target in one step, unless it is one already.
func replaceLink(target, path string) error {
	if old, err := os.Readlink(path); err == nil && old == target {
		return nil
	}
	if isDir(path) {
		if st, err := os.Lstat(path); err != nil || st.Mode()&fs.ModeSymlink == 0 {
			return fmt.Errorf("%s is a folder, a link expected: remove it", path)
		}
	}
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
