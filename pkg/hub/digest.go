package hub

import (
	"context"
	"crypto/sha1" // git's object ids
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
)

// checkOf tells what an id is: its length gives the algorithm.
func checkOf(id string) string {
	_, err := hex.DecodeString(id)
	switch {
	case err == nil && len(id) == 2*sha256.Size:
		return "sha256"
	case err == nil && len(id) == 2*sha1.Size:
		return "git-sha1"
	}
	return "size"
}

// newDigest begins the checksum that f's content has to have; nil when the id is no checksum. Git hashes a header
// before the content.
func newDigest(f *File) hash.Hash {
	switch checkOf(f.ID) {
	case "sha256":
		return sha256.New()
	case "git-sha1":
		h := sha1.New()
		fmt.Fprintf(h, "blob %d\x00", f.Size)
		return h
	}
	return nil
}

// fits tells whether the file at path has f's size and checksum.
func fits(ctx context.Context, path string, f *File) (bool, error) {
	in, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil || st.Size() != f.Size || !st.Mode().IsRegular() {
		return false, err
	}
	h := newDigest(f)
	if h == nil {
		return false, nil // a size says too little about a file of unknown origin
	}
	if _, err := io.Copy(h, reader{ctx, in}); err != nil {
		return false, err
	}
	return hex.EncodeToString(h.Sum(nil)) == f.ID, nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
