package ckpt

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/qakd/qakd/internal/fsx"
)

// WriteShards writes tensors into the folder dir: as model.safetensors while they take at most limit bytes together, else
// as model-00001-of-00002.safetensors and so on, each file up to limit (or a single tensor), with
// model.safetensors.index.json. Tensors keep their order across the files. meta gives the metadata of a file that holds
// these tensors; nil stands for none.
func WriteShards(dir string, tensors []Tensor, limit int64, meta func([]Tensor) map[string]string) error {
	if meta == nil {
		meta = func([]Tensor) map[string]string { return nil }
	}
	if limit < 1 {
		return fmt.Errorf("ckpt: write %s: limit of %d bytes a file, want at least 1", dir, limit)
	}
	var parts [][]Tensor
	var total, size int64
	for i, t := range tensors {
		n, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return fmt.Errorf("ckpt: write %s: tensor %q: %w", dir, t.Name, err)
		}
		if i == 0 || size+n > limit {
			parts, size = append(parts, nil), 0
		}
		last := len(parts) - 1
		parts[last] = append(parts[last], t)
		total, size = total+n, size+n
	}
	if len(parts) < 2 {
		return Write(filepath.Join(dir, singleName), tensors, meta(tensors))
	}
	index := map[string]string{}
	for i, part := range parts {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(parts))
		for _, t := range part {
			if index[t.Name] != "" {
				return fmt.Errorf("ckpt: write %s: two tensors are named %q", dir, t.Name)
			}
			index[t.Name] = name
		}
		if err := Write(filepath.Join(dir, name), part, meta(part)); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(map[string]any{"metadata": map[string]int64{"total_size": total}, "weight_map": index}, "", "  ")
	if err != nil {
		return err
	}
	return fsx.WriteBytes(filepath.Join(dir, indexName), append(text, '\n'))
}
