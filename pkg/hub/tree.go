package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/qakd/qakd/internal/fsx"
)

// treeFormat is the version of trees/COMMIT.json.
const treeFormat = 1

// treeFile is trees/COMMIT.json: a commit's listing, which never changes.
type treeFile struct {
	Version int                  `json:"format_version"`
	Files   map[string]treeEntry `json:"files"`
}

type treeEntry struct {
	Size    int64  `json:"size"`
	BlobID  string `json:"blob_id"`
	SHA256  string `json:"lfs_sha256,omitempty"`
	LFSSize int64  `json:"lfs_size,omitempty"`
}

// write stores a listing that has all sizes and object ids; one that has not is for this request only.
func (l *listing) write(path string) error {
	t := treeFile{treeFormat, map[string]treeEntry{}}
	for _, e := range l.files {
		if e.size < 0 || e.git == "" {
			return nil
		}
		entry := treeEntry{Size: e.size, BlobID: e.git, SHA256: e.sha256}
		if e.sha256 != "" {
			entry.LFSSize = e.size
		}
		t.Files[e.path] = entry
	}
	data, err := json.MarshalIndent(t, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fsx.Explain("create", filepath.Dir(path), err)
	}
	return fsx.WriteBytes(path, data)
}

// readTree reads a commit's stored listing; nil when there is none, or one of another version.
func (s *cache) readTree() (*listing, error) {
	path := s.path("trees", s.commit+".json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var t treeFile
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if t.Version != treeFormat {
		return nil, nil
	}
	l := &listing{commit: s.commit}
	for _, name := range slices.Sorted(maps.Keys(t.Files)) {
		e := t.Files[name]
		l.files = append(l.files, entry{path: name, size: e.Size, git: e.BlobID, sha256: e.SHA256})
	}
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// scan lists what a snapshot holds, for caches that have no stored listing. It cannot know what is missing, except for
// links that lead nowhere.
func (s *cache) scan() (*listing, error) {
	l := &listing{commit: s.commit}
	root := s.dir()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		e := entry{path: filepath.ToSlash(rel), size: -1}
		if target, err := os.Readlink(path); err == nil {
			e.etag = filepath.Base(target)
		}
		if st, err := os.Stat(path); err == nil {
			e.size = st.Size()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.files = append(l.files, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, l.check()
}

// cached finds the revision in the cache, without the network.
func (c *Client) cached(r Request) (*listing, error) {
	s := c.cacheOf(r.Repo, r.revision())
	absent := fmt.Errorf("%w %s, and HF_HUB_OFFLINE forbids to fetch it", ErrNotCached, c.Cache)
	if data, err := os.ReadFile(s.path("refs", filepath.FromSlash(r.revision()))); err == nil {
		s.commit = string(data)
	} else if !plainName.MatchString(s.commit) {
		return nil, absent
	}
	if !plainName.MatchString(s.commit) {
		return nil, fmt.Errorf("%s holds %q, want a commit", s.path("refs", r.revision()), oneLine(s.commit))
	}
	if st, err := os.Stat(s.dir()); err != nil || !st.IsDir() {
		return nil, absent
	}
	if l, err := s.readTree(); l != nil || err != nil {
		return l, err
	}
	return s.scan()
}
