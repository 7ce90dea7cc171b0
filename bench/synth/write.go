package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/qat"
)

type options struct {
	size, kind, out string
	seed            int64
	shards          int
	codec           bool
	packed          bool
	embeddings      int // bits of packed tables
}

func (o options) validate() error {
	if err := published(o.size, o.kind); err != nil {
		return experiment.Usagef("%w", err)
	}
	if o.out == "" {
		return experiment.Usagef("-out is missing, want a folder to write")
	}
	if _, err := os.Lstat(o.out); err == nil {
		return fmt.Errorf("-out %s is there already, want a path that is not", o.out)
	}
	if o.embeddings != 0 && (!o.packed || o.embeddings != 4 && o.embeddings != 8) {
		return experiment.Usagef("-embeddings %d with -packed=%v, want 4 or 8 with -packed", o.embeddings, o.packed)
	}
	if n := len(o.tensors()); o.shards < 1 || o.shards > n {
		return experiment.Usagef("-shards %d, want 1 to %d, the number of tensors", o.shards, n)
	}
	return nil
}

// tensors of the model's own weights.
func (o options) tensors() list {
	l := talkerTensors(o.size)
	if o.kind == "base" {
		l = append(l, speakerTensors(o.size)...)
	}
	return l
}

// metadata of the weights: the base files have none.
func (o options) metadata() map[string]string {
	if o.kind == "base" {
		return nil
	}
	return map[string]string{"format": "pt"}
}

// write publishes the whole folder.
func write(ctx context.Context, o options) error {
	return fsx.PublishDir(o.out, func(dir string) error {
		vocab, merges := vocabulary()
		config, plan, err := o.plan()
		if err != nil {
			return err
		}
		if err := writeFiles(dir, map[string]any{"config.json": config,
			"generation_config.json": generationConfig, "preprocessor_config.json": processorConfig,
			"tokenizer_config.json": tokenizerConfig(), "vocab.json": vocab, "merges.txt": merges}); err != nil {
			return err
		}
		if o.codec {
			tokenizer := filepath.Join(dir, "speech_tokenizer")
			if err := os.Mkdir(tokenizer, 0o755); err != nil {
				return err
			}
			if err := writeFiles(tokenizer, map[string]any{"config.json": codecConfig(), "preprocessor_config.json": codecProcessorConfig}); err != nil {
				return err
			}
			file := filepath.Join(tokenizer, "model.safetensors")
			if err := ckpt.Write(file, o.stored(ctx, codecTensors(), "F32"), nil); err != nil {
				return err
			}
		}
		if err := o.writeWeights(ctx, dir, plan); err != nil || plan == nil {
			return err
		}
		return int4.BuildFile(filepath.Join(dir, int4.FileName), dir)
	})
}

func writeFiles(dir string, files map[string]any) error {
	for name, content := range files {
		data, err := []byte(nil), error(nil)
		if text, ok := content.(string); ok {
			data = []byte(text)
		} else if data, err = pretty(content); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := fsx.WriteBytes(filepath.Join(dir, name), data); err != nil {
			return err
		}
	}
	return nil
}

// writeWeights writes model.safetensors, or shards and their index.
func (o options) writeWeights(ctx context.Context, dir string, plan *qat.Plan) error {
	tensors := o.stored(ctx, o.tensors(), "BF16")
	if plan != nil {
		tensors = o.pack(ctx, tensors, plan)
	}
	if o.shards == 1 {
		return ckpt.Write(filepath.Join(dir, "model.safetensors"), tensors, o.metadata())
	}
	total, places := int64(0), map[string]string{}
	for i, shard := range split(tensors, o.shards) {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, o.shards)
		if err := ckpt.Write(filepath.Join(dir, name), shard, o.metadata()); err != nil {
			return err
		}
		for _, t := range shard {
			places[t.Name] = name
			total += bytesOf(t)
		}
	}
	return writeFiles(dir, map[string]any{"model.safetensors.index.json": object{
		"metadata": object{"total_size": total}, "weight_map": places}})
}

// split cuts tensors, in the order of their names, into n parts of about equal size, none of them empty.
func split(tensors []ckpt.Tensor, n int) [][]ckpt.Tensor {
	slices.SortFunc(tensors, func(a, b ckpt.Tensor) int { return strings.Compare(a.Name, b.Name) })
	rest := int64(0)
	for _, t := range tensors {
		rest += bytesOf(t)
	}
	var parts [][]ckpt.Tensor
	for ; n > 0; n-- {
		size, k := int64(0), 0
		for k == 0 || len(tensors)-k >= n && size+bytesOf(tensors[k])/2 <= rest/int64(n) {
			size += bytesOf(tensors[k])
			k++
		}
		if n == 1 {
			k = len(tensors)
		}
		parts, tensors, rest = append(parts, tensors[:k]), tensors[k:], rest-size
	}
	return parts
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

func bytesOf(t ckpt.Tensor) int64 {
	size, _ := ckpt.DTypeSize(t.DType) // written by this program
	return size * elements(t.Shape)
}

// stored describes l in dtype; each tensor is made while it is written.
func (o options) stored(ctx context.Context, l list, dtype string) []ckpt.Tensor {
	out := make([]ckpt.Tensor, len(l))
	for i, t := range l {
		out[i] = ckpt.Tensor{Name: t.name, DType: dtype, Shape: t.shape, Stream: func(w io.Writer) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return stream(w, t.name, dtype, elements(t.shape), o.seed)
		}}
	}
	return out
}
