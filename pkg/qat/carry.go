package qat

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
)

// ownFiles are written by this package and never copied from a source.
var ownFiles = map[string]bool{"config.json": true, studentFile: true, noteFile: true}

const noteFile = "NOTE.txt"

// isWeights tells whether a file of a checkpoint's top folder holds model weights, which are written anew.
func isWeights(name string) bool {
	for _, suffix := range []string{".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".gguf"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// carryFiles copies what a source folder holds besides its weights and config.json: tokenizer files, generation and
// preprocessor settings, the folder speech_tokenizer with its own weights. Names that begin with a dot stay behind. It
// returns the copied paths, relative and with slashes, in order.
func carryFiles(dst, src string, folders bool) (copied []string, err error) {
	err = filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil || rel == "." {
			return err
		}
		info, err := os.Stat(path) // through a link: download caches keep files elsewhere
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".")
		if info.IsDir() {
			if hidden || !folders {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(dst, rel), 0o755)
		}
		if hidden || filepath.Dir(rel) == "." && (ownFiles[rel] || isWeights(rel)) {
			return nil
		}
		copied = append(copied, filepath.ToSlash(rel))
		return fsx.CopyFile(filepath.Join(dst, rel), path)
	})
	return copied, err
}
