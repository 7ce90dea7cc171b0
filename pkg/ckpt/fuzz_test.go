package ckpt

import (
	"bytes"
	"os"
	"testing"
)

// FuzzHeader feeds arbitrary bytes to the header reader. What it accepts must
// tile the data exactly, with unique names and ranges inside the file.
func FuzzHeader(f *testing.F) {
	if data, err := os.ReadFile("testdata/python.safetensors"); err == nil {
		f.Add(data)
	}
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"))
	f.Add([]byte("\x37\x00\x00\x00\x00\x00\x00\x00" + `{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}  }` + "abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readHeader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		names := map[string]bool{}
		at := int64(0)
		for _, e := range h.entries {
			if names[e.Name] || e.begin != at || e.end-e.begin != e.Bytes {
				t.Fatalf("accepted %+v at %d", e, at)
			}
			if size, err := byteSize(e.DType, e.Shape); err != nil || size != e.Bytes {
				t.Fatalf("accepted %+v of %d bytes: %v", e, size, err)
			}
			names[e.Name] = true
			at = e.end
		}
		if h.data+at != int64(len(data)) {
			t.Fatalf("tensors end at %d of %d", h.data+at, len(data))
		}
	})
}
