package qat

import (
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
// preprocessor settings, the folder speech_tokenizer with its own weights. Links are followed (download caches keep files
// elsewhere), names that begin with a dot stay behind. It returns the copied paths, relative and with slashes, in order.
func carryFiles(dst, src string, folders bool) ([]string, error) { return carryFolder(dst, src, ".", folders) }

// carryFolder is carryFiles for the folder rel of src.
func carryFolder(dst, src, rel string, folders bool) (copied []string, err error) {
	entries, err := os.ReadDir(filepath.Join(src, rel))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := filepath.Join(rel, e.Name())
		if strings.HasPrefix(e.Name(), ".") || rel == "." && (ownFiles[name] || isWeights(name)) {
			continue
		}
		from, to := filepath.Join(src, name), filepath.Join(dst, name)
		info, err := os.Stat(from)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			copied = append(copied, filepath.ToSlash(name))
			if err := fsx.CopyFile(to, from); err != nil {
				return nil, err
			}
			continue
		}
		if !folders {
			continue
		}
		if err := os.MkdirAll(to, 0o755); err != nil {
			return nil, err
		}
		inside, err := carryFolder(dst, src, name, folders)
		if err != nil {
			return nil, err
		}
		copied = append(copied, inside...)
	}
	return copied, nil
}
