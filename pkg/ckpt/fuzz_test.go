package ckpt

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
)

// sameHeader wants what the scanner reads to be what encoding/json reads; the scanner may leave a text to it.
func sameHeader(t *testing.T, text []byte) (plain bool) {
	t.Helper()
	h := plainHeader(text)
	if h == nil {
		return false
	}
	want, err := strictHeader(text)
	if err != nil {
		t.Fatalf("%q is accepted: %v", text, err)
	}
	if !reflect.DeepEqual(h, want) {
		t.Fatalf("%q is %+v, want %+v", text, h, want)
	}
	return true
}

// The scanner reads what Write and the reference implementation write, and leaves to encoding/json what differs.
func TestPlainHeader(t *testing.T) {
	head, err := encodeHeader([]sized{{Tensor: Tensor{Name: "größer", DType: "BF16", Shape: []int64{4, 8}}, bytes: 64},
		{Tensor: Tensor{Name: "s", DType: "I64"}, bytes: 8}}, map[string]string{"format": "pt", "x": ""})
	if err != nil {
		t.Fatal(err)
	}
	python, err := os.ReadFile("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{head[8:], python[8 : 8+int(python[0])+int(python[1])<<8]} {
		if !sameHeader(t, text) {
			t.Errorf("%q is left to encoding/json", text)
		}
	}
	const good = `{"__metadata__":{"a":"b"},"x":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]},"y":{"dtype":"U8","shape":[],"data_offsets":[2,3]}}  `
	if !sameHeader(t, []byte(good)) {
		t.Fatal("a good header is left to encoding/json")
	}
	for i := range good { // cut, and with a byte lost or changed anywhere
		sameHeader(t, []byte(good[:i]))
		sameHeader(t, []byte(good[:i]+good[i+1:]))
		for _, c := range `"\\,:{}[]0 x-` + "\x00\xff" {
			sameHeader(t, []byte(good[:i]+string(c)+good[i+1:]))
		}
	}
	for _, bad := range []string{`{}`, strings.Replace(good, `"y"`, `"x"`, 1), strings.Replace(good, `[2,1]`, `[02,1]`, 1),
		strings.Replace(good, `[2,3]`, `[2,4]`, 1), strings.Replace(good, `"x"`, `"\u0078"`, 1), good + "x",
		strings.Replace(good, `"y"`, `"__metadata__"`, 1), strings.Replace(good, `"U8","shape":[]`, `"U9","shape":[]`, 1)} {
		if plainHeader([]byte(bad)) != nil {
			t.Errorf("%q is not left to encoding/json", bad)
		}
	}
}

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
		if len(data) > 8 {
			sameHeader(t, data[8:])
		}
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
