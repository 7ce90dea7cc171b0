package distill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// partBytes is the size from which a part is written: what an interruption loses at most.
const partBytes = 64 << 20

// Lessons are the utterances of a training, as they are laid out when it comes to them, batch by batch.
type Lessons = iter.Seq2[[]data.Utterance, error]

// NewCache completes the cache in dir, for a cfg with Cache.Keep, with what teacher says about lessons, then compares a
// sample with the teacher. identity stands for the teacher's weights, e.g. a hash of their files: a folder that another
// teacher or another setting has begun is an error. A canceled ctx ends it; what was written stays for the next time.
// told, if not nil, is called with the utterances so far. The caller closes the cache, and may free the teacher before.
func NewCache(ctx context.Context, dir string, teacher *talker.Model, identity string, cfg Config, lessons Lessons, told func(utterances int)) (_ *Cache, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	if !cfg.Cache.On() {
		return nil, fmt.Errorf("distill: cache.keep is %q, want %q or %q", cfg.Cache.Keep, KeepTop, KeepExact)
	}
	spec, err := newCacheSpec(teacher.Config, teacher.DType, identity, cfg)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("distill: cache: %w", err)
	}
	lock, err := fsx.LockFile(ctx, filepath.Join(dir, "lock"), func() {})
	if err != nil {
		return nil, fmt.Errorf("distill: cache %s: %w", dir, err)
	}
	defer lock.Release()
	c, err := openCache(dir, teacher.Config, spec)
	if err != nil {
		return nil, err
	}
	w := &scribe{Cache: c, teacher: teacher, cfg: cfg, sample: newSample(cfg.Cache.Check)}
	if err := w.write(ctx, lessons, told); err != nil {
		return nil, fmt.Errorf("distill: cache %s: %w", dir, joinClose(err, c))
	}
	if err := w.verify(ctx); err != nil {
		return nil, joinClose(err, c)
	}
	return c, nil
}

func joinClose(err error, c *Cache) error {
	if e := c.Close(); e != nil {
		return fmt.Errorf("%w; %w", err, e)
	}
	return err
}

// scribe writes parts.
type scribe struct {
	*Cache
	teacher *talker.Model
	cfg     Config
	sample  *sample

	pending []kept            // utterances of the part that is being made
	data    map[string][]byte // its fields
	size    int64
}

// write adds every utterance that has no entry yet.
func (w *scribe) write(ctx context.Context, lessons Lessons, told func(int)) error {
	w.data = map[string][]byte{}
	listed := map[string]bool{} // in the part that is being made, or met before
	for us, err := range lessons {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return errors.Join(err, w.flush())
		}
		var fresh []data.Utterance
		for _, u := range us {
			s, err := Rows(w.config, u)
			if err != nil {
				return err
			}
			key := CacheKey(s)
			if listed[key] {
				continue
			}
			listed[key] = true
			w.sample.offer(u)
			if _, ok := w.entries[key]; !ok {
				fresh = append(fresh, u)
				w.pending = append(w.pending, kept{key, u.ID, int64(u.Frames())})
			}
		}
		if len(fresh) > 0 {
			if err := w.ask(fresh); err != nil {
				return err
			}
		}
		if told != nil {
			told(len(listed))
		}
		if w.size >= partBytes {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return w.flush()
}

// ask appends what the teacher says about us.
func (w *scribe) ask(us []data.Utterance) error {
	l, err := layOut(w.config, us)
	if err != nil {
		return err
	}
	return nn.Run(func(c *nn.Context) error {
		t := live{inference(c, w.teacher, l, true), w.spec.Classes, gotch.CPU, nil}
		if w.spec.Hidden > 0 {
			if err := w.put("hidden", t.hidden(c)); err != nil {
				return err
			}
		}
		err := eachChunk(c, l.M, w.cfg.ChunkRows, func(c *nn.Context, at, n int64) error {
			a := t.code0(c, at, n)
			if err := w.put("end", a.end); err != nil {
				return err
			}
			return w.answer(c, "code0", a)
		})
		if err != nil {
			return err
		}
		return eachChunk(c, l.N, w.cfg.ChunkRows, func(c *nn.Context, at, n int64) error { return w.answer(c, "codes", t.codes(c, at, n)) })
	})
}

// answer appends rows of what code0 or codes has.
func (w *scribe) answer(c *nn.Context, what string, a answer) (err error) {
	if w.spec.Keep == KeepExact {
		return w.put(what+".logits", a.logits)
	}
	nn.NoGrad(func() {
		p := topOf(c, a.logits, w.spec.Top, w.spec.Temperature)
		for _, f := range []struct {
			name string
			x    *ts.Tensor
		}{{".ids", p.ids}, {".logp", c.Clamp(p.logp, -6e4, 0)}, {".tail", p.tail}} {
			if err == nil {
				err = w.put(what+f.name, f.x)
			}
		}
	})
	return err
}

// put appends rows to a field, in its dtype.
func (w *scribe) put(name string, x *ts.Tensor) error {
	dtype, err := nn.DTypeOf(w.spec.field(name).dtype)
	if err != nil {
		return err
	}
	return tensor.Run(func(s *tensor.Scope) error {
		b, err := tensor.Bytes(s.To(s.Detach(x), dtype))
		w.data[name] = append(w.data[name], b...)
		w.size += int64(len(b))
		return err
	})
}

// flush writes the part and opens it.
func (w *scribe) flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	rows, frames := int64(0), int64(0)
	for _, k := range w.pending {
		rows, frames = rows+k.Frames+1, frames+k.Frames
	}
	var tensors []ckpt.Tensor
	for _, f := range w.spec.fields() {
		n := rows
		if f.frame {
			n = frames
		}
		tensors = append(tensors, ckpt.Tensor{Name: f.name, DType: f.dtype, Shape: append([]int64{n}, f.shape...), Data: w.data[f.name]})
	}
	list, err := json.Marshal(w.pending)
	if err != nil {
		return err
	}
	spec, err := w.spec.json()
	if err != nil {
		return err
	}
	path, err := w.newPart()
	if err != nil {
		return err
	}
	if err := ckpt.Write(path, tensors, map[string]string{"spec": spec, "utterances": string(list)}); err != nil {
		return err
	}
	w.pending, w.data, w.size = nil, map[string][]byte{}, 0
	return w.attach(path)
}
