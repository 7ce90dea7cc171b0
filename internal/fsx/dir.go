package fsx

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// PublishDir makes the folder path appear complete or not at all: fill writes
// into a fresh folder beside it, everything is synced, then one rename publishes
// it. An existing path is an error that wraps fs.ErrExist.
func PublishDir(path string, fill func(dir string) error) error {
	return publish(path, fill, func(tmp string) error {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s: %w", path, fs.ErrExist)
		}
		return Explain("publish", path, os.Rename(tmp, path))
	})
}

// ReplaceDir is PublishDir that replaces an existing folder. On Linux the two
// are exchanged in one step; elsewhere, and on file systems that cannot, the
// old one is moved aside first and moved back if the new one cannot take its
// place.
func ReplaceDir(path string, fill func(dir string) error) error {
	return publish(path, fill, func(tmp string) error {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return Explain("publish", path, os.Rename(tmp, path))
		}
		if err := exchange(tmp, path); err == nil {
			return os.RemoveAll(tmp) // tmp is the old folder now
		}
		aside := tmp + ".old"
		if err := os.Rename(path, aside); err != nil {
			return Explain("replace", path, err)
		}
		if err := os.Rename(tmp, path); err != nil {
			return errors.Join(Explain("replace", path, err), os.Rename(aside, path))
		}
		return os.RemoveAll(aside)
	})
}

func publish(path string, fill, place func(tmp string) error) (err error) {
	path = filepath.Clean(path)
	parent := filepath.Dir(path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return Explain("create", parent, err)
	}
	tmp, err := os.MkdirTemp(parent, "."+filepath.Base(path)+".tmp-")
	if err != nil {
		return Explain("create", path, err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
		}
	}()
	if err = os.Chmod(tmp, 0o755); err != nil { // MkdirTemp gives 0700
		return Explain("create", path, err)
	}
	if err = fill(tmp); err != nil {
		return err
	}
	if err = syncTree(tmp); err != nil {
		return err
	}
	if err = place(tmp); err != nil {
		return err
	}
	return syncDir(parent)
}

// syncTree makes all files and folders under root durable.
func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return syncDir(path)
		case !d.Type().IsRegular():
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return Explain("sync", path, f.Sync())
	})
}

// SHA256 returns the lower-case hex digest of a file's content.
func SHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// DirSize returns the sum of the sizes in bytes of all regular files under
// root, which may also be a single file. Links count as what they lead to:
// download caches keep the files of a folder elsewhere.
func DirSize(root string) (int64, error) {
	info, err := os.Stat(root)
	switch {
	case err != nil:
		return 0, err
	case info.Mode().IsRegular():
		return info.Size(), nil
	case !info.IsDir():
		return 0, nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, e := range entries {
		n, err := DirSize(filepath.Join(root, e.Name()))
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
