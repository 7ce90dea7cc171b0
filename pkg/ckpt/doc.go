// Package ckpt reads and writes safetensors checkpoints without torch.
//
// The format: 8 bytes little-endian header length N, N bytes of JSON, then the
// tensor data. Each header entry is
//
//	"name": {"dtype": "BF16", "shape": [4, 8], "data_offsets": [begin, end]}
//
// with offsets relative to the first data byte. The data is row-major and
// little-endian, without holes, overlaps or trailing bytes; "__metadata__"
// holds a map of strings. A large checkpoint is several such files and a
// model.safetensors.index.json whose weight_map names the file of each tensor.
//
// Open maps the files into memory: opening costs the headers only, Bytes hands
// out slices of the mapping without a copy, and the pages come from the disk
// when they are touched.
//
//	src, err := ckpt.Open("Qwen3-TTS-12Hz-0.6B-Base")
//	if err != nil {
//		return err
//	}
//	defer src.Close()
//	info, data, err := src.Bytes("talker.model.norm.weight")
//
// HeaderOnly reads names, shapes and sizes and never touches tensor data; Write
// streams a new file and replaces the old one atomically; Check compares what
// a checkpoint has with what a model wants and lists every difference at once.
//
// Every reader is strict: a truncated or overlapping file, a duplicate name, an
// overflowing shape or a missing shard is one error that names the file.
package ckpt
