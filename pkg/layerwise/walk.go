package layerwise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch/ts"
)

// Walk is a model on its way over batches. Its folder also has room for what others make of each part.
type Walk struct {
	Model   *talker.Model
	Parts   []talker.Part
	Batches []*talker.Batch
	Dir     string
}

// identityFile names what the folder was made from.
const identityFile = "identity"

// inputsName is the folder of the tensors before a part, by Path.
const inputsName = "inputs"

// Open begins a walk in dir, or goes on with the one that is there. identity says what decides the tensors: weights, data,
// dtype, batches. A folder of another identity is emptied, and so is it of what a process that was killed left half
// written: the folder is one process's.
func Open(dir, identity string, m *talker.Model, batches []*talker.Batch) (*Walk, error) {
	if len(batches) == 0 {
		return nil, errors.New("layerwise: no data: not one batch")
	}
	w := &Walk{Model: m, Parts: m.Parts(), Batches: batches, Dir: dir}
	have, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err == nil && string(have) == identity {
		return w, w.sweep()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("layerwise: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("layerwise: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("layerwise: %w", err)
	}
	return w, fsx.WriteBytes(filepath.Join(dir, identityFile), []byte(identity))
}

// sweep removes files and folders that were never published.
func (w *Walk) sweep() error {
	left, err := filepath.Glob(filepath.Join(w.Dir, ".*.tmp-*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// Path is a file of the walk's folder that belongs to a part.
func (w *Walk) Path(i int, name string) string {
	return filepath.Join(w.Dir, fmt.Sprintf("%03d.%s", i, name))
}

func (w *Walk) inputs(i int) string { return w.Path(i, inputsName) }

func (w *Walk) reached(i int) bool {
	_, err := os.Stat(w.inputs(i))
	return err == nil
}

// Step is one batch on its way through one part.
type Step struct {
	Batch *talker.Batch
	k     int
	part  *talker.Part
	in    *Tensors
	out   *writer
	walk  *Walk
}

// Forward runs the part on the batch in c, without recording, and keeps what goes on from there.
func (s *Step) Forward(c *nn.Context) (err error) {
	var x *ts.Tensor
	if s.in != nil {
		if x, err = s.in.At(s.k); err != nil {
			return err
		}
		x = c.ToDevice(c.Own(x), s.walk.Model.Device)
	}
	nn.NoGrad(func() {
		y := s.part.Forward(c, s.Batch, x)
		if s.out != nil {
			err = s.out.put(y)
		}
	})
	return err
}

// errStopped: whoever took the steps wants no more.
var errStopped = errors.New("the steps were not taken to the end")

// Steps takes all batches through part i; Forward of each step must be called once. When the last one was taken, what came out
// is kept, and what had gone into the part before is removed: a part can be gone through again until the next one has
// been. Parts before it that were not run are run first. A loop that ends early keeps nothing.
func (w *Walk) Steps(ctx context.Context, i int) iter.Seq2[*Step, error] {
	return func(yield func(*Step, error) bool) {
		if err := w.run(ctx, i, func(s *Step) bool { return yield(s, nil) }); err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

func (w *Walk) run(ctx context.Context, i int, take func(*Step) bool) (err error) {
	in, err := w.Inputs(ctx, i)
	if err != nil {
		return err
	}
	if in != nil {
		defer func() { err = errors.Join(err, in.Close()) }()
	}
	steps := func(out *writer) error {
		for k, b := range w.Batches {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !take(&Step{Batch: b, k: k, part: &w.Parts[i], in: in, out: out, walk: w}) {
				return errStopped
			}
		}
		return nil
	}
	if i == len(w.Parts)-1 || w.reached(i+1) {
		return steps(nil)
	}
	err = fsx.PublishDir(w.inputs(i+1), func(tmp string) error {
		out, err := newWriter(tmp)
		if err != nil {
			return err
		}
		if err := steps(out); err != nil {
			return errors.Join(err, out.file.Close())
		}
		return out.finish(len(w.Batches))
	})
	if err != nil || i == 0 {
		return err
	}
	return os.RemoveAll(w.inputs(i - 1))
}

// Inputs are the tensors before part i, nil before the first. Parts before it whose tensors are not there are run first, from
// the last one that was reached.
func (w *Walk) Inputs(ctx context.Context, i int) (*Tensors, error) {
	from := i
	for from > 0 && !w.reached(from) {
		from--
	}
	for ; from < i; from++ {
		for step, err := range w.Steps(ctx, from) {
			if err == nil {
				err = nn.Run(step.Forward)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.Parts[from].Path, err)
			}
		}
	}
	if i == 0 {
		return nil, nil
	}
	return openTensors(w.inputs(i))
}

// Clear removes all tensors and the named files of all parts; what else the folder holds stays.
func (w *Walk) Clear(names ...string) error { return Clear(w.Dir, names...) }

// Clear is [Walk.Clear] of a folder that may be gone, without a walk through it.
func Clear(dir string, names ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("layerwise: %w", err)
	}
	var errs []error
	for _, e := range entries {
		// A folder that was being written when its process died has a dot before its name, and more behind.
		_, name, _ := strings.Cut(strings.TrimPrefix(e.Name(), "."), ".")
		if name == inputsName || strings.HasPrefix(name, inputsName+".tmp-") || slices.Contains(names, name) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
