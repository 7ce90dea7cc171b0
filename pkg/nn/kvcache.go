package nn

import "github.com/sugarme/gotch/ts"

// KVCache holds the rotated keys and the values of one layer, [B, kv, S, D]. It owns its tensors.
type KVCache struct{ k, v *ts.Tensor }

// Append adds rows and returns all of them. The result belongs to the cache.
func (kv *KVCache) Append(c *Context, k, v *ts.Tensor) (*ts.Tensor, *ts.Tensor) {
	if kv.k != nil {
		k, v = c.Cat(2, kv.k, k), c.Cat(2, kv.v, v)
		kv.Close()
	} else { // a view's storage may be shared with what the context drops
		k, v = c.Contiguous(k), c.Clone(v)
	}
	kv.k, kv.v = c.Release(k), c.Release(v)
	return kv.k, kv.v
}

// Keep goes on with these sequences only, ids [n] int64.
func (kv *KVCache) Keep(c *Context, ids *ts.Tensor) {
	if kv.k == nil {
		return
	}
	k, v := c.IndexSelect(kv.k, 0, ids), c.IndexSelect(kv.v, 0, ids)
	kv.Close()
	kv.k, kv.v = c.Release(k), c.Release(v)
}

// Close frees the rows; the cache is then empty.
func (kv *KVCache) Close() {
	if kv.k != nil {
		kv.k.Drop()
		kv.v.Drop()
	}
	kv.k, kv.v = nil, nil
}
