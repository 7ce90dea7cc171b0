package nn

import (
	"slices"

	"github.com/sugarme/gotch/ts"
)

// KVCache holds the rotated keys and the values of one layer, [B, kv, S, D]. It owns its tensors, which have room for
// more rows than are there, so that a step writes one row instead of copying all. Nothing flows back through it.
type KVCache struct {
	k, v *ts.Tensor // [B, kv, room, D]
	rows int64      // S
}

// Append adds rows [B, kv, T, D] and returns all of them, as views that hold until the next call.
func (kv *KVCache) Append(c *Context, k, v *ts.Tensor) (*ts.Tensor, *ts.Tensor) {
	size := c.Shape(k)
	if need := kv.rows + size[2]; !holds(c, kv.k, k, need) || !holds(c, kv.v, v, need) {
		kv.grow(c, k, v, need+need/2)
	}
	at := kv.rows
	kv.rows += size[2]
	add := func(all, x *ts.Tensor) *ts.Tensor {
		c.CopyInto(c.Narrow(all, 2, at, size[2]), x)
		return c.Narrow(all, 2, 0, kv.rows)
	}
	return add(kv.k, k), add(kv.v, v)
}

// holds tells whether room has place for n rows like those of x.
func holds(c *Context, room, x *ts.Tensor, n int64) bool {
	if room == nil || room.DType() != x.DType() {
		return false
	}
	have, want := c.Shape(room), c.Shape(x)
	return have[2] >= n && slices.Equal(have[:2], want[:2]) && have[3] == want[3]
}

// grow makes room for n rows like those of k and v, in whole steps, and takes the rows along that are there.
func (kv *KVCache) grow(c *Context, k, v *ts.Tensor, n int64) {
	const step = 32
	move := func(old, x *ts.Tensor) *ts.Tensor {
		size := c.Shape(x)
		room := c.ToDevice(c.Zeros(x.DType(), size[0], size[1], (n+step-1)/step*step, size[3]), c.Device(x))
		if kv.rows > 0 {
			c.CopyInto(c.Narrow(room, 2, 0, kv.rows), c.Narrow(old, 2, 0, kv.rows))
		}
		return room
	}
	kv.replace(c, move(kv.k, k), move(kv.v, v))
}

// replace the tensors and keep the number of rows.
func (kv *KVCache) replace(c *Context, k, v *ts.Tensor) {
	rows := kv.rows
	kv.Close()
	kv.k, kv.v, kv.rows = c.Release(k), c.Release(v), rows
}

// Keep goes on with these sequences only, ids [n] int64.
func (kv *KVCache) Keep(c *Context, ids *ts.Tensor) {
	if kv.rows == 0 {
		return
	}
	kv.replace(c, c.IndexSelect(kv.k, 0, ids), c.IndexSelect(kv.v, 0, ids))
}

// Reset forgets the rows and keeps their room.
func (kv *KVCache) Reset() { kv.rows = 0 }

// Close frees the rows; the cache is then empty.
func (kv *KVCache) Close() {
	if kv.k != nil {
		kv.k.Drop()
		kv.v.Drop()
	}
	kv.k, kv.v, kv.rows = nil, nil, 0
}
