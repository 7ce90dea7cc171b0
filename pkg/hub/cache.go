package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
)

// place is where files end up: the cache, or a plain folder.
type place interface {
	// dir is the folder that the caller gets.
	dir() string
	// spot says where f's content is kept, where it grows, and what is locked meanwhile.
	spot(f *File) (final, partial, lock string)
	// has tells whether f's content is here, whole and right.
	has(ctx context.Context, f *File) (bool, error)
	// show gives content that is here its name in dir, unless it has it.
	show(f *File) error
	// keep writes down what belongs to a commit besides its files: before, its listing; after, the revision's name.
	keep(l *listing) error
	name(revision string) error
}

// cache is a repository's folder in the cache, with one commit in view.
type cache struct {
	root    string // of all repositories
	repo    string // models--organization--name
	commit  string
	symlink func(target, name string) error
}

func (c *Client) cacheOf(repo, commit string) *cache {
	return &cache{c.Cache, "models--" + strings.ReplaceAll(repo, "/", "--"), commit, c.symlink}
}

func (s *cache) path(parts ...string) string {
	return filepath.Join(append([]string{s.root, s.repo}, parts...)...)
}

func (s *cache) dir() string { return s.path("snapshots", s.commit) }

func (s *cache) pointer(f *File) string { return filepath.Join(s.dir(), filepath.FromSlash(f.Path)) }

func (s *cache) spot(f *File) (final, partial, lock string) {
	final = s.path("blobs", f.ID)
	return final, final + ".incomplete", filepath.Join(s.root, ".locks", s.repo, f.ID+".lock")
}

// has goes by the size: only checked content gets a final name.
func (s *cache) has(_ context.Context, f *File) (bool, error) {
	if ok, err := hasSize(s.pointer(f), f.Size); ok || err != nil {
		return ok, err
	}
	final, _, _ := s.spot(f)
	return hasSize(final, f.Size)
}

// hasSize follows links.
func hasSize(path string, size int64) (bool, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && st.Mode().IsRegular() && st.Size() == size, err
}

// show links the snapshot's name to the blob. The link is made beside and renamed, so that the name never leads
// nowhere. Where there are no symbolic links, a hard link takes no room either; a copy is the last resort.
func (s *cache) show(f *File) error {
	blob, _, _ := s.spot(f)
	name := s.pointer(f)
	if ok, err := hasSize(name, f.Size); ok || err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fsx.Explain("create", filepath.Dir(name), err)
	}
	target, err := filepath.Rel(filepath.Dir(name), blob)
	if err != nil {
		return err
	}
	beside := fmt.Sprintf("%s.%d.link", name, os.Getpid())
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = s.symlink(target, beside)
	if err != nil {
		err = os.Link(blob, beside)
	}
	if err != nil {
		return fsx.CopyFile(name, blob)
	}
	if err := os.Rename(beside, name); err != nil {
		return errors.Join(fsx.Explain("link", name, err), os.Remove(beside))
	}
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) { // rename leaves two links to one file be
		return err
	}
	return nil
}

// keep stores the listing, which tells later, offline, whether a snapshot is whole.
func (s *cache) keep(l *listing) error {
	if old, err := s.readTree(); old != nil && err == nil {
		return nil
	}
	return l.write(s.path("trees", s.commit+".json"))
}

func (s *cache) name(revision string) error {
	if revision == s.commit {
		return nil
	}
	path := s.path("refs", filepath.FromSlash(revision))
	if old, err := os.ReadFile(path); err == nil && string(old) == s.commit {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fsx.Explain("create", filepath.Dir(path), err)
	}
	return fsx.WriteBytes(path, []byte(s.commit))
}
