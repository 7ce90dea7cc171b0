package tts

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/talker"
)

// Pruned says what Prune left out.
type Pruned struct {
	Vocabulary int64 `json:"vocabulary"`   // text_vocab_size
	Kept       int   `json:"kept"`         // rows of the new table
	Before     int64 `json:"bytes_before"` // of the table
	After      int64 `json:"bytes_after"`
}

// Prune copies a checkpoint folder, float, fake-quantized or packed, and leaves out the rows of the text embedding that
// are not those of kept ids, which ascend (text.Selection selects them). The copy has the ids in the tensor
// talker.KeptIDs and their number in config.json; numbers of tokens stay as they are. All other bytes stay, too. An
// existing folder is replaced.
func Prune(dst, src string, kept []int32) (*Pruned, error) {
	res, err := prune(dst, src, kept)
	if err != nil {
		return nil, fmt.Errorf("tts: prune %s: %w", src, err)
	}
	return res, nil
}

func prune(dst, src string, kept []int32) (*Pruned, error) {
	cfg, err := talker.ReadConfig(src)
	if err != nil {
		return nil, err
	}
	if cfg.Kept() != nil {
		return nil, fmt.Errorf("it is pruned already: text_vocab_kept is %d, want a checkpoint with all %d rows", len(cfg.Kept()), cfg.Talker.TextVocab)
	}
	if err := cfg.CheckKept(kept); err != nil {
		return nil, err
	}
	config, err := prunedConfig(filepath.Join(src, "config.json"), len(kept))
	if err != nil {
		return nil, err
	}
	r, err := ckpt.Open(src)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	res := &Pruned{Vocabulary: cfg.Talker.TextVocab, Kept: len(kept)}
	tensors, err := prunedTensors(r, cfg.Talker.TextVocab, kept, res)
	if err != nil {
		return nil, err
	}
	return res, fsx.ReplaceDir(dst, func(tmp string) error {
		_, err := fsx.CopyTree(tmp, src, func(rel string, folder bool) bool {
			top := !strings.Contains(rel, "/")
			return top && (rel == "config.json" || strings.HasSuffix(rel, ".safetensors") || strings.HasSuffix(rel, ".safetensors.index.json"))
		})
		if err != nil {
			return err
		}
		if err := ckpt.Write(filepath.Join(tmp, "model.safetensors"), tensors, r.Metadata()); err != nil {
			return err
		}
		return fsx.WriteBytes(filepath.Join(tmp, "config.json"), config)
	})
}

// prunedConfig is the file at path with the number of kept ids.
func prunedConfig(path string, kept int) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var top, inner map[string]json.RawMessage
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	at := top
	if top["talker_config"] != nil { // a talker that was saved alone has its keys on top
		if err := json.Unmarshal(top["talker_config"], &inner); err != nil {
			return nil, fmt.Errorf("%s: talker_config: %w", path, err)
		}
		at = inner
	}
	at["text_vocab_kept"] = json.RawMessage(fmt.Sprint(kept))
	if inner != nil {
		if top["talker_config"], err = json.Marshal(inner); err != nil {
			return nil, err
		}
	}
	out, err := json.MarshalIndent(top, "", "  ")
	return append(out, '\n'), err
}

// prunedTensors are the tensors of a checkpoint; those that have a row for each text id have the kept rows only.
func prunedTensors(r *ckpt.Reader, vocabulary int64, kept []int32, res *Pruned) ([]ckpt.Tensor, error) {
	table, ids := talker.TextTable, talker.KeptIDs
	if _, whole := r.Info("talker.codec_head.weight"); !whole && has(r, strings.TrimPrefix(table, "talker.")) {
		table, ids = strings.TrimPrefix(table, "talker."), strings.TrimPrefix(ids, "talker.")
	}
	var out []ckpt.Tensor
	for _, info := range r.Infos() {
		t := ckpt.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape}
		rest, ours := strings.CutPrefix(info.Name, table+".")
		switch {
		case !ours:
			t.Stream = func(w io.Writer) error { return copyRows(w, r, info, nil) }
		case rest == "weight_shape":
			_, data, err := r.Bytes(info.Name)
			if err != nil || len(data) != 16 {
				return nil, fmt.Errorf("tensor %v, want I64 [2] (%v)", info, err)
			}
			t.Data = append(binary.LittleEndian.AppendUint64(nil, uint64(len(kept))), data[8:]...)
		case len(info.Shape) == 2 && info.Shape[0] == vocabulary:
			t.Shape = []int64{int64(len(kept)), info.Shape[1]}
			t.Stream = func(w io.Writer) error { return copyRows(w, r, info, kept) }
			res.Before, res.After = res.Before+info.Bytes, res.After+info.Bytes/vocabulary*int64(len(kept))
		default:
			return nil, fmt.Errorf("tensor %v, want a row for each of the %d text ids", info, vocabulary)
		}
		out = append(out, t)
	}
	data := make([]byte, 0, 4*len(kept))
	for _, id := range kept {
		data = binary.LittleEndian.AppendUint32(data, uint32(id))
	}
	return append(out, ckpt.Tensor{Name: ids, DType: "I32", Shape: []int64{int64(len(kept))}, Data: data}), nil
}

func has(r *ckpt.Reader, table string) bool {
	for _, info := range r.Infos() {
		if strings.HasPrefix(info.Name, table+".") {
			return true
		}
	}
	return false
}

// copyRows writes rows of a tensor, or all of it (nil).
func copyRows(w io.Writer, r *ckpt.Reader, info ckpt.Info, rows []int32) error {
	part := func(buf []byte, at int64) error {
		if err := r.CopyAt(buf, info.Name, at); err != nil {
			return err
		}
		_, err := w.Write(buf)
		return err
	}
	if rows == nil {
		buf := make([]byte, min(info.Bytes, 1<<20))
		for at := int64(0); at < info.Bytes; at += int64(len(buf)) {
			if err := part(buf[:min(int64(len(buf)), info.Bytes-at)], at); err != nil {
				return err
			}
		}
		return nil
	}
	buf := make([]byte, info.Bytes/info.Shape[0])
	for _, row := range rows {
		if err := part(buf, int64(row)*int64(len(buf))); err != nil {
			return err
		}
	}
	return nil
}
