package ckpt_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
)

// raw builds a file from a literal header and n bytes of data.
func raw(header string, n int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), make([]byte, n)...)
}

func put(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCorruptFiles(t *testing.T) {
	const a = `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "truncated: 0 bytes"},
		{"short length", []byte{1, 2, 3}, "truncated: 3 bytes"},
		{"git-lfs pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), "git-lfs pointer"},
		{"huge header", binary.LittleEndian.AppendUint64(nil, 1<<60), "over the limit"},
		{"header cut", raw(`{`+a+`}`, 8)[:20], "truncated: the header takes 54 bytes, the file has 12"},
		{"data cut", raw(`{`+a+`}`, 7), "truncated: the tensors take 8 bytes, the file holds 7"},
		{"trailing data", raw(`{`+a+`}`, 9), "1 bytes after the last tensor"},
		{"not JSON", raw(`hello`, 0), "invalid character"},
		{"JSON cut", raw(`{"a":{"dtype":"F32"`, 0), "JSON ends early"},
		{"not an object", raw(`[]`, 0), `found [, want "{"`},
		{"two objects", raw(`{} {}`, 0), "data after the closing brace"},
		{"not UTF-8", raw("{\"a\xff\":1}", 0), "not valid UTF-8"},
		{"duplicate tensor", raw(`{`+a+`,`+a+`}`, 8), `duplicate key "a"`},
		{"duplicate field", raw(`{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), `duplicate key "dtype"`},
		{"duplicate metadata", raw(`{"__metadata__":{"k":"1","k":"2"}}`, 0), `duplicate key "k"`},
		{"metadata not strings", raw(`{"__metadata__":{"k":1}}`, 0), `__metadata__ "k": found 1, want a string`},
		{"unknown field", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, 8), `unknown key "x"`},
		{"missing field", raw(`{"a":{"dtype":"F32","shape":[2]}}`, 8), "are required"},
		{"empty name", raw(`{"":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), "empty name"},
		{"unknown dtype", raw(`{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,8]}}`, 8), `unknown dtype "F4"`},
		{"one offset", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}`, 8), "want [begin, end]"},
		{"negative dimension", raw(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8), "-2 is not an integer between"},
		{"fraction", raw(`{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}`, 8), "2.0 is not an integer"},
		{"huge dimension", raw(`{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}`, 8), "is not an integer between"},
		{"shape overflow", raw(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0), "overflows 63 bits"},
		{"wrong size", raw(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), "but F32 [3] takes 12 bytes"},
		{"reversed", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8), "data_offsets [8 0]"},
		{"overlap", raw(`{`+a+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), `"a" and "b" overlap`},
		{"hole", raw(`{`+a+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}}`, 20), `hole of 4 bytes before tensor "b"`},
		{"hole at the start", raw(`{"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), `hole of 4 bytes before tensor "b"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := put(t, filepath.Join(t.TempDir(), "x.safetensors"), tt.data)
			_, openErr := ckpt.Open(path)
			_, headErr := ckpt.HeaderOnly(path)
			for _, err := range []error{openErr, headErr} {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("error %v\nwant %q and the path", err, tt.want)
				}
			}
		})
	}
}

// shards writes a two-shard checkpoint folder; edit may change the index.
func shards(t *testing.T, edit func(weightMap map[string]string)) string {
	t.Helper()
	dir := t.TempDir()
	one := ckpt.Tensor{Name: "one", DType: "U8", Shape: []int64{2}, Data: []byte{1, 2}}
	two := ckpt.Tensor{Name: "two", DType: "U8", Shape: []int64{1}, Data: []byte{3}}
	err := errors.Join(
		ckpt.Write(filepath.Join(dir, "model-00001-of-00002.safetensors"), []ckpt.Tensor{one}, map[string]string{"format": "pt"}),
		ckpt.Write(filepath.Join(dir, "model-00002-of-00002.safetensors"), []ckpt.Tensor{two}, nil))
	if err != nil {
		t.Fatal(err)
	}
	wm := map[string]string{"one": "model-00001-of-00002.safetensors", "two": "model-00002-of-00002.safetensors"}
	edit(wm)
	text, err := json.Marshal(map[string]any{"metadata": map[string]int{"total_size": 3}, "weight_map": wm})
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "model.safetensors.index.json"), text)
	return dir
}

func TestSharded(t *testing.T) {
	dir := shards(t, func(map[string]string) {})
	for _, path := range []string{dir, filepath.Join(dir, "model.safetensors.index.json")} {
		r, err := ckpt.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		_, one, err1 := r.Bytes("one")
		_, two, err2 := r.Bytes("two")
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if string(one) != "\x01\x02" || string(two) != "\x03" || r.Metadata()["format"] != "pt" || len(r.Header().Files) != 2 {
			t.Errorf("%s: got %v %v %v", path, one, two, r.Header())
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Bytes("one"); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestBadShards(t *testing.T) {
	tests := []struct {
		name string
		edit func(map[string]string)
		want string
	}{
		{"missing shard", func(m map[string]string) { m["three"] = "model-00003-of-00003.safetensors" }, "shard model-00003-of-00003.safetensors: no such file"},
		{"absent tensor", func(m map[string]string) { m["three"] = m["two"] }, `puts "three" in model-00002-of-00002.safetensors, which lacks it`},
		{"unlisted tensor", func(m map[string]string) { delete(m, "two"); m["x"] = "model-00002-of-00002.safetensors" }, `holds "two", which the weight_map lacks`},
		{"wrong shard", func(m map[string]string) { m["one"], m["two"] = m["two"], m["one"] }, `holds "one", which the weight_map puts in model-00002-of-00002.safetensors`},
		{"path in shard", func(m map[string]string) { m["one"] = "../x.safetensors" }, `shard "../x.safetensors" is not a plain file name`},
		{"empty map", func(m map[string]string) { clear(m) }, "no weight_map"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := shards(t, tt.edit)
			_, err := ckpt.Open(dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v\nwant %q and the path", err, tt.want)
			}
		})
	}
	t.Run("duplicate in map", func(t *testing.T) {
		path := put(t, filepath.Join(t.TempDir(), "model.safetensors.index.json"), []byte(`{"weight_map":{"a":"x","a":"y"}}`))
		if _, err := ckpt.Open(path); err == nil || !strings.Contains(err.Error(), `duplicate key "a"`) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("corrupt shard", func(t *testing.T) {
		dir := shards(t, func(map[string]string) {})
		bad := put(t, filepath.Join(dir, "model-00002-of-00002.safetensors"), []byte("x"))
		if _, err := ckpt.Open(dir); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("error %v, want one that names %s", err, bad)
		}
	})
}

func TestNoCheckpoint(t *testing.T) {
	dir := t.TempDir()
	if _, err := ckpt.Open(dir); err == nil || !strings.Contains(err.Error(), "no checkpoint here: neither model.safetensors nor") {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := ckpt.Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent path: %v", err)
	}
}

// TestHeaderOnlyReadsNoData opens a sparse 4 GB file: reading it would take
// memory and seconds, its header takes neither.
func TestHeaderOnlyReadsNoData(t *testing.T) {
	path := put(t, filepath.Join(t.TempDir(), "big.safetensors"), raw(`{"a":{"dtype":"BF16","shape":[2147483648],"data_offsets":[0,4294967296]}}`, 0))
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, st.Size()+1<<32); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h, err := ckpt.HeaderOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if len(h.Infos) != 1 || h.Infos[0].Bytes != 1<<32 || h.Infos[0].Elements() != 1<<31 || h.Bytes != st.Size()+1<<32 {
		t.Errorf("got %+v", h)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("allocated %d bytes", grown)
	}
}

// TestReplaceWhileOpen: a checkpoint may be rewritten while it is mapped.
func TestReplaceWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	write := func(b byte) {
		if err := ckpt.Write(path, []ckpt.Tensor{{Name: "a", DType: "U8", Shape: []int64{1}, Data: []byte{b}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	r, err := ckpt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	write(2)
	if _, data, err := r.Bytes("a"); err != nil || data[0] != 1 {
		t.Errorf("mapped data %v, %v; want the old content", data, err)
	}
}

func TestCheck(t *testing.T) {
	have := []ckpt.Info{{Name: "same", DType: "F32", Shape: []int64{2}}, {Name: "shape", DType: "F32", Shape: []int64{2, 3}},
		{Name: "type", DType: "F32"}, {Name: "extra1", Shape: []int64{1}}, {Name: "extra0", Shape: []int64{1}}}
	want := []ckpt.Info{{Name: "same", Shape: []int64{2}}, {Name: "shape", Shape: []int64{3, 2}}, {Name: "type", DType: "BF16"},
		{Name: "gone1", Shape: []int64{4}}, {Name: "gone0", Shape: []int64{4}}}
	err := ckpt.Check(have, want)
	const text = `ckpt: 2 missing, 2 unexpected, 2 mis-shaped tensors
  missing gone0 [4]
  missing gone1 [4]
  unexpected extra0 [1]
  unexpected extra1 [1]
  mis-shaped shape: shape [2 3], want [3 2]
  mis-shaped type: dtype F32, want BF16`
	if err == nil || err.Error() != text {
		t.Errorf("got\n%v\nwant\n%s", err, text)
	}
	if err := ckpt.Check(have[:1], want[:1]); err != nil {
		t.Errorf("equal lists: %v", err)
	}
}
