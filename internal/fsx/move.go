package fsx

import (
	"errors"
	"os"
	"path/filepath"
)

// Move gives the complete file at tmp its final name, whatever was there before. Content and name are on the disk when
// it returns; before that, path is as it was. For files that outlive the process half-done, as Write's do not.
func Move(tmp, path string) error {
	f, err := os.Open(tmp)
	if err != nil {
		return Explain("publish", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return Explain("publish", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return Explain("publish", path, err)
	}
	return syncDir(filepath.Dir(path))
}
