package qat

import (
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
func carryFiles(dst, src string, folders bool) ([]string, error) {
	return fsx.CopyTree(dst, src, func(rel string, folder bool) bool {
		top := !strings.Contains(rel, "/")
		return folder && !folders || top && (ownFiles[rel] || isWeights(rel))
	})
}
