package layerwise

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Files of a folder of tensors: their elements, little-endian, one tensor after the other, and where each lies.
const (
	dataFile  = "data"
	indexFile = "index.json"
)

type place struct {
	DType string  `json:"dtype"` // as safetensors names it
	Shape []int64 `json:"shape"`
	At    int64   `json:"at"`
	Bytes int64   `json:"bytes"`
}

// Tensors are those of all batches at one point of the model, in a folder. Close ends their use.
type Tensors struct {
	dir   string
	file  *os.File
	index []place
}

// openTensors opens a folder that a writer has finished.
func openTensors(dir string) (*Tensors, error) {
	text, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil {
		return nil, fmt.Errorf("layerwise: %w", err)
	}
	t := &Tensors{dir: dir}
	if err := json.Unmarshal(text, &t.index); err != nil {
		return nil, fmt.Errorf("layerwise: %s: %w (remove the folder, and the walk begins anew)", filepath.Join(dir, indexFile), err)
	}
	if t.file, err = os.Open(filepath.Join(dir, dataFile)); err != nil {
		return nil, fmt.Errorf("layerwise: %w", err)
	}
	return t, nil
}

// Close closes the file.
func (t *Tensors) Close() error { return t.file.Close() }

// At reads the tensor of batch k, a CPU tensor that the caller owns.
func (t *Tensors) At(k int) (*ts.Tensor, error) {
	p := t.index[k]
	dtype, err := nn.DTypeOf(p.DType)
	if err != nil {
		return nil, fmt.Errorf("layerwise: %s: %w", t.dir, err)
	}
	out, err := tensor.Fill(dtype, p.Shape, func(memory []byte) error {
		if int64(len(memory)) != p.Bytes {
			return fmt.Errorf("%d bytes, want %d of %s %v", p.Bytes, len(memory), p.DType, p.Shape)
		}
		_, err := t.file.ReadAt(memory, p.At)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("layerwise: %s: batch %d: %w (remove the folder, and the walk begins anew)", t.dir, k, err)
	}
	return out, nil
}

// writer makes such a folder.
type writer struct {
	dir   string
	file  *os.File
	at    int64
	index []place
}

func newWriter(dir string) (*writer, error) {
	f, err := os.Create(filepath.Join(dir, dataFile))
	return &writer{dir: dir, file: f}, err
}

func (w *writer) put(t *ts.Tensor) error {
	b, err := tensor.Bytes(t)
	if err != nil {
		return err
	}
	if _, err := w.file.Write(b); err != nil {
		return err
	}
	shape, err := t.Size()
	if err != nil {
		return err
	}
	w.index = append(w.index, place{nn.DTypeName(t.DType()), shape, w.at, int64(len(b))})
	w.at += int64(len(b))
	return nil
}

// finish writes the index of batches that must all be there.
func (w *writer) finish(batches int) error {
	if len(w.index) != batches {
		return errors.Join(fmt.Errorf("%d batches went through, want %d", len(w.index), batches), w.file.Close())
	}
	text, err := json.Marshal(w.index)
	return errors.Join(err, w.file.Close(), os.WriteFile(filepath.Join(w.dir, indexFile), text, 0o644))
}
