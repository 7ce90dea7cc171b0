package stage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/internal/fsx"
)

// speechTokenizer is the folder of the codec in a checkpoint folder.
const speechTokenizer = "speech_tokenizer"

// talkerBytes is what the checkpoint in a folder takes on the disk without its speech tokenizer: packing carries that
// along as it is, so that it says nothing about the talkers that a summary compares.
func talkerBytes(dir string) (int64, error) {
	all, err := fsx.DirSize(dir)
	if err != nil {
		return 0, err
	}
	codec, err := hasCodec(dir)
	if err != nil || !codec {
		return all, err
	}
	carried, err := fsx.DirSize(filepath.Join(dir, speechTokenizer))
	return all - carried, err
}

// hasCodec tells whether a checkpoint folder has a speech tokenizer.
func hasCodec(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, speechTokenizer))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
