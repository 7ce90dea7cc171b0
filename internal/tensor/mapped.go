package tensor

import (
	"fmt"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// MapFile is all whole elements of dtype that a file holds, bytes long, as one CPU tensor [n] that belongs to s. Nothing
// is read: its memory is the file's pages, which other processes share; what is written to it goes to private copies of
// the pages and never into the file. The tensor and its views keep the mapping alive. A file that is cut in place while it
// is mapped is a crash, one that is replaced by renaming is not.
func (s *Scope) MapFile(path string, dtype gotch.DType, bytes int64) *ts.Tensor {
	size := ElementSize(dtype)
	if size == 0 || bytes < size {
		s.Fail("map_file", "%s: %d bytes of dtype %v, want at least an element", path, bytes, dtype)
	}
	s.admit("map_file")
	t, err := ts.FromFile(path, false, []int64{bytes / size}, dtype, gotch.CPU)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return s.result("map_file", t, err)
}
