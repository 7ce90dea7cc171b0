package nn

import (
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch/ts"
)

// Kept says which ids of a vocabulary a pruned table has rows for: row i is that of the i-th id. Whoever uses the table
// goes on with the ids of the whole vocabulary.
type Kept struct {
	IDs *Param // <path>.kept_ids, I32 [rows], ascending
	row map[int64]int64
}

// Keep declares that the table has rows for these ids only, which ascend and are below the rows that it was declared
// with. It comes before the table is loaded, and before another form of it is swapped in.
func (e *Embedding) Keep(ids []int32) error {
	last, vocabulary := int32(-1), e.W.Shape[0]
	k := &Kept{row: make(map[int64]int64, len(ids))}
	for i, id := range ids {
		if id <= last || int64(id) >= vocabulary {
			return fmt.Errorf("nn: %s: kept id %d behind %d, want ascending ones below %d", e.Path, id, last, vocabulary)
		}
		k.row[int64(id)], last = int64(i), id
	}
	if len(ids) == 0 {
		return fmt.Errorf("nn: %s: no ids are kept, want at least one", e.Path)
	}
	n := int64(len(ids))
	k.IDs = &Param{Name: e.Path + ".kept_ids", Shape: []int64{n}, DType: "I32", Frozen: true}
	e.Kept, e.W.Shape = k, []int64{n, e.W.Shape[1]}
	return nil
}

// Len is the number of ids that are kept.
func (k *Kept) Len() int { return len(k.row) }

// rows are the rows of ids.
func (k *Kept) rows(c *Context, path string, ids *ts.Tensor) *ts.Tensor {
	list, err := tensor.Ints(ids)
	c.Check("embedding", err)
	for i, id := range list {
		row, ok := k.row[id]
		if !ok {
			c.Fail("embedding", "%s: id %d is not among the %d that the pruned table keeps", path, id, len(k.row))
		}
		list[i] = row
	}
	return c.ToDevice(c.FromInts(list, c.Shape(ids)...), c.Device(ids))
}
