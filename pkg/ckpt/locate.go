package ckpt

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	singleName = "model.safetensors"
	indexName  = "model.safetensors.index.json"
)

// layout is what a checkpoint path resolves to: its files in the order of
// their names, and for a sharded one the file of each tensor.
type layout struct {
	files     []string
	weightMap map[string]string // tensor -> file path; nil for a single file
	index     string            // path of the index, "" for a single file
}

// locate resolves a .safetensors file, an index file or a checkpoint folder.
func locate(path string) (*layout, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		if strings.HasSuffix(path, ".json") {
			return readIndex(path)
		}
		return &layout{files: []string{path}}, nil
	}
	single, index := filepath.Join(path, singleName), filepath.Join(path, indexName)
	if _, err := os.Stat(single); err == nil {
		return &layout{files: []string{single}}, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if _, err := os.Stat(index); err == nil {
		return readIndex(index)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return nil, fmt.Errorf("%s: no checkpoint here: neither %s nor %s", path, singleName, indexName)
}

// readIndex parses {"metadata": ..., "weight_map": {"tensor": "file"}}.
func readIndex(path string) (*layout, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	l := &layout{index: path}
	err = document(text, "index", func(dec *json.Decoder, key string) error {
		if key != "weight_map" {
			var skipped json.RawMessage // "metadata" is free-form
			return dec.Decode(&skipped)
		}
		l.weightMap = map[string]string{}
		return object(dec, "weight_map", func(name string) error {
			shard, err := stringValue(dec, fmt.Sprintf("weight_map %q", name))
			if err != nil {
				return err
			}
			if shard == "" || shard != filepath.Base(shard) || shard == ".." || shard == "." {
				return fmt.Errorf("weight_map %q: shard %q is not a plain file name", name, shard)
			}
			l.weightMap[name] = filepath.Join(filepath.Dir(path), shard)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(l.weightMap) == 0 {
		return nil, fmt.Errorf("%s: no weight_map, or an empty one", path)
	}
	for _, f := range l.weightMap {
		l.files = append(l.files, f)
	}
	slices.Sort(l.files)
	l.files = slices.Compact(l.files)
	for _, f := range l.files {
		if _, err := os.Stat(f); err != nil {
			return nil, fmt.Errorf("%s: shard %s: %w", path, filepath.Base(f), errors.Unwrap(err))
		}
	}
	return l, nil
}

// checkShards compares the weight_map with what the shards hold: every tensor
// in exactly the file that the map names, nothing else. All differences are
// in one error.
func (l *layout) checkShards(headers []*fileHeader) error {
	if l.weightMap == nil {
		return nil
	}
	var bad []string
	found := map[string]bool{}
	for i, h := range headers {
		base := filepath.Base(l.files[i])
		for _, e := range h.entries {
			switch want, ok := l.weightMap[e.Name]; {
			case !ok:
				bad = append(bad, fmt.Sprintf("%s holds %q, which the weight_map lacks", base, e.Name))
			case want != l.files[i]:
				bad = append(bad, fmt.Sprintf("%s holds %q, which the weight_map puts in %s", base, e.Name, filepath.Base(want)))
			default:
				found[e.Name] = true
			}
		}
	}
	for name, file := range l.weightMap {
		if !found[name] {
			bad = append(bad, fmt.Sprintf("the weight_map puts %q in %s, which lacks it", name, filepath.Base(file)))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	slices.Sort(bad)
	return fmt.Errorf("%s: %s", l.index, strings.Join(bad, "; "))
}
