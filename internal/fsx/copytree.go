package fsx

import (
	"os"
	"path/filepath"
	"strings"
)

// CopyTree copies the files of the folder src into the folder dst and returns their paths, relative and with slashes, in
// order. Links are followed (download caches keep files elsewhere); names that begin with a dot stay behind, as does what
// skip names: a file or folder under its path relative to src.
func CopyTree(dst, src string, skip func(rel string, folder bool) bool) ([]string, error) {
	return copyFolder(dst, src, ".", skip)
}

func copyFolder(dst, src, rel string, skip func(string, bool) bool) (copied []string, err error) {
	entries, err := os.ReadDir(filepath.Join(src, rel))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := filepath.Join(rel, e.Name())
		from, to := filepath.Join(src, name), filepath.Join(dst, name)
		info, err := os.Stat(from)
		if err != nil {
			return nil, err
		}
		switch {
		case skip(filepath.ToSlash(name), info.IsDir()):
		case info.IsDir():
			if err := os.MkdirAll(to, 0o755); err != nil {
				return nil, err
			}
			inside, err := copyFolder(dst, src, name, skip)
			if err != nil {
				return nil, err
			}
			copied = append(copied, inside...)
		default:
			copied = append(copied, filepath.ToSlash(name))
			if err := CopyFile(to, from); err != nil {
				return nil, err
			}
		}
	}
	return copied, nil
}
