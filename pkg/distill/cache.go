package distill

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
)

// Cache is what a teacher says about utterances, on disk: a folder of parts, safetensors files that appear whole. Each
// part says in its metadata what it was made of and which utterances it holds, so that a folder that was left half done,
// or that now needs more, is completed.
//
//	part-00000.safetensors
//	  code0.ids, code0.logp, code0.tail   rows × top: classes, log probabilities, log of the rest   (keep = "top")
//	  codes.ids, codes.logp, codes.tail   frames × G-1 × top
//	  code0.logits, codes.logits          all classes, in the teacher's dtype                       (keep = "exact")
//	  end                                 logit of the end of speech against going on
//	  hidden                              final hidden states, bf16                                 (hidden = true)
//
// An utterance has a row for each frame and one for the end.
type Cache struct {
	dir     string
	spec    cacheSpec
	config  *talker.Config // of the teacher
	parts   []*ckpt.Reader
	entries map[string]entry
}

// entry is where an utterance lies.
type entry struct {
	part       int
	row, frame int64 // first of them
	frames     int64
}

// kept names an utterance of a part.
type kept struct {
	Key    string `json:"key"`
	ID     string `json:"id"`
	Frames int64  `json:"frames"`
}

// openCache reads the parts of dir, which may be none.
func openCache(dir string, teacher *talker.Config, spec cacheSpec) (*Cache, error) {
	c := &Cache{dir: dir, spec: spec, config: teacher, entries: map[string]entry{}}
	paths, err := filepath.Glob(filepath.Join(dir, "part-*.safetensors"))
	if err != nil {
		return nil, fmt.Errorf("distill: cache %s: %w", dir, err)
	}
	slices.Sort(paths)
	for _, p := range paths {
		if err := c.attach(p); err != nil {
			return nil, errors.Join(fmt.Errorf("distill: cache: %w", err), c.Close())
		}
	}
	return c, nil
}

// attach opens a part.
func (c *Cache) attach(path string) (err error) {
	r, err := ckpt.Open(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", path, err), r.Close())
		}
	}()
	meta := r.Metadata()
	if err := c.spec.same(meta["spec"]); err != nil {
		return err
	}
	var list []kept
	if err := json.Unmarshal([]byte(meta["utterances"]), &list); err != nil {
		return fmt.Errorf("metadata utterances: %w", err)
	}
	at := entry{part: len(c.parts)}
	found := map[string]entry{}
	for _, k := range list {
		at.frames = k.Frames
		found[k.Key] = at
		at.row, at.frame = at.row+k.Frames+1, at.frame+k.Frames
	}
	for _, f := range c.spec.fields() {
		rows := at.row
		if f.frame {
			rows = at.frame
		}
		want := append([]int64{rows}, f.shape...)
		if info, ok := r.Info(f.name); !ok || info.DType != f.dtype || !slices.Equal(info.Shape, want) {
			return fmt.Errorf("tensor %q is %s %v, want %s %v", f.name, info.DType, info.Shape, f.dtype, want)
		}
	}
	for key, e := range found {
		c.entries[key] = e
	}
	c.parts = append(c.parts, r)
	return nil
}

// same compares the spec of a part with what is wanted, key by key.
func (s cacheSpec) same(part string) error {
	text, err := s.json()
	if err != nil || part == text {
		return err
	}
	var have, want map[string]any
	if err := errors.Join(json.Unmarshal([]byte(part), &have), json.Unmarshal([]byte(text), &want)); err != nil {
		return fmt.Errorf("metadata spec: %w, want a part of a teacher cache", err)
	}
	var diff []string
	for k, v := range want {
		if have[k] != v {
			diff = append(diff, fmt.Sprintf("%s is %v, want %v", k, have[k], v))
		}
	}
	slices.Sort(diff)
	return fmt.Errorf("it was made otherwise: %s (remove the folder, or give another one in cache.dir)", strings.Join(diff, "; "))
}

// fits wants a cache that was made as cfg says.
func (c *Cache) fits(cfg Config) error {
	dtype, err := nn.DTypeOf(c.spec.DType)
	if err != nil {
		return err
	}
	want, err := newCacheSpec(c.config, dtype, c.spec.Teacher, cfg)
	if err != nil {
		return err
	}
	have, err := c.spec.json()
	if err == nil {
		err = want.same(have)
	}
	if err != nil {
		return fmt.Errorf("distill: cache %s: %w", c.dir, err)
	}
	return nil
}

// Utterances is the number of entries.
func (c *Cache) Utterances() int { return len(c.entries) }

// Bytes is the size of the parts.
func (c *Cache) Bytes() (n int64) {
	for _, p := range c.parts {
		n += p.Header().Bytes
	}
	return n
}

// Close closes the files.
func (c *Cache) Close() error {
	var errs []error
	for _, p := range c.parts {
		errs = append(errs, p.Close())
	}
	c.parts = nil
	return errors.Join(errs...)
}

// find looks up utterances as they stand.
func (c *Cache) find(us []data.Utterance) ([]entry, error) {
	out := make([]entry, len(us))
	for i, u := range us {
		s, err := Rows(c.config, u)
		if err != nil {
			return nil, err
		}
		e, ok := c.entries[CacheKey(s)]
		if !ok {
			return nil, fmt.Errorf("distill: cache %s: utterance %q in layout %s has no entry: the cache is of other data, another seed or other layouts", c.dir, u.ID, LayoutOf(c.config, u))
		}
		out[i] = e
	}
	return out, nil
}

// lesson is what the teacher said about us, for a student on its device.
func (c *Cache) lesson(student *talker.Model, us []data.Utterance) (lesson, error) {
	entries, err := c.find(us)
	if err != nil {
		return nil, err
	}
	return recorded{c, entries, student.Device}, nil
}

// newPart is the path of the next part.
func (c *Cache) newPart() (string, error) {
	for n := len(c.parts); ; n++ {
		path := filepath.Join(c.dir, fmt.Sprintf("part-%05d.safetensors", n))
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			return path, nil
		} else if err != nil {
			return "", fmt.Errorf("distill: cache: %w", err)
		}
	}
}
