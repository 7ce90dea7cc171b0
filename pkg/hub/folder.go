package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"path/filepath"
)

// workFolder is where a plain folder keeps interrupted transfers and locks, as the Python client does.
const workFolder = ".cache/huggingface"

// folder is a plain folder: real files under their own names, nothing shared. What is there counts if its checksum
// does, since nothing else tells which revision it came from.
type folder struct{ root string }

func (d folder) dir() string { return d.root }

// spot keeps unfinished content under a name made of path and id, since two files may have the same content.
func (d folder) spot(f *File) (final, partial, lock string) {
	sum := sha256.Sum256([]byte(f.Path))
	base := filepath.Join(d.root, filepath.FromSlash(workFolder), "download", hex.EncodeToString(sum[:8])+"."+f.ID)
	return filepath.Join(d.root, filepath.FromSlash(f.Path)), base + ".incomplete", base + ".lock"
}

func (d folder) has(ctx context.Context, f *File) (bool, error) {
	final, _, _ := d.spot(f)
	ok, err := fits(ctx, final, f)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return ok, err
}

func (d folder) show(*File) error { return nil }

func (d folder) keep(*listing) error { return nil }

func (d folder) name(string) error { return nil }
