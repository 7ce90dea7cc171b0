package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

var (
	repoName   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?$`)
	plainName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`) // commits and ids become file names
	commitName = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// checkRepo holds a repository's name to the hub's rules. "--" separates the parts of the cache's folder names.
func checkRepo(repo string) error {
	if !repoName.MatchString(repo) || len(repo) > 96 || strings.Contains(repo, "--") || strings.Contains(repo, "..") {
		return fmt.Errorf("repository %q is not of the form organization/name", repo)
	}
	return nil
}

// checkRevision admits what git does, as far as it can name a file under refs.
func checkRevision(revision string) error {
	if err := checkPath(revision); err != nil {
		return fmt.Errorf("revision %q is no branch, tag or commit: %w", revision, err)
	}
	return nil
}

// checkPath refuses names that would leave their folder or could not lie in one, and such that would garble a terminal.
func checkPath(name string) error {
	switch {
	case len(name) > 1024:
		return errors.New("longer than 1024 bytes")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }):
		return errors.New("it has characters that cannot be printed")
	case name == "." || !fs.ValidPath(name) || strings.Contains(name, `\`) || !filepath.IsLocal(filepath.FromSlash(name)):
		return errors.New("it is no relative path that stays inside its folder")
	}
	return nil
}
