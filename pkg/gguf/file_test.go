package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func samplePairs() []Pair {
	return []Pair{
		{"general.architecture", "test"}, {"u8", uint8(1)}, {"i8", int8(-1)}, {"u16", uint16(2)}, {"i16", int16(-2)},
		{"u32", uint32(3)}, {"i32", int32(-3)}, {"f32", float32(1.5)}, {"yes", true}, {"u64", uint64(4)}, {"i64", int64(-4)},
		{"f64", 2.5}, {"words", []string{"a", "", "Ġthe"}}, {"ids", []int32{1, -2}}, {"floats", []float32{0.5}},
		{"flags", []bool{true, false}}, {"bytes", []uint8{9}}, {"none", []uint32{}},
		{"shorts", []int16{-7}}, {"words16", []uint16{7}}, {"small", []int8{-1, 1}}, {"long", []uint64{1}}, {"longs", []int64{-1}}, {"doubles", []float64{1}},
	}
}

func sampleTensors() []Tensor {
	blocks := make([]byte, 2*18)
	for i := range blocks {
		blocks[i] = byte(i)
	}
	return []Tensor{
		{Name: "norm", Type: F32, Shape: []int64{3}, Data: []byte("abcdefghijkl")},
		{Name: "w", Type: Q4_0, Shape: []int64{2, 32}, Stream: func(w io.Writer) error { _, err := w.Write(blocks); return err }},
		{Name: "cube", Type: BF16, Shape: []int64{2, 1, 2}, Data: []byte("12345678")},
	}
}

func sample(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.gguf")
	if err := Write(path, samplePairs(), sampleTensors()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestFileThereAndBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.gguf")
	if err := os.WriteFile(path, sample(t), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if d := cmp.Diff(samplePairs(), f.Pairs, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("pairs (-want +got):\n%s", d)
	}
	var got []string
	for _, i := range f.Tensors {
		if i.at%alignment != 0 {
			t.Errorf("%v at %d", i, i.at)
		}
		got = append(got, fmt.Sprint(i, i.Bytes))
	}
	if d := cmp.Diff([]string{"norm F32 [3] 12", "w Q4_0 [2 32] 36", "cube BF16 [2 1 2] 8"}, got); d != "" {
		t.Errorf("tensors (-want +got):\n%s", d)
	}
	if _, b, err := f.Bytes("cube"); err != nil || string(b) != "12345678" {
		t.Errorf("cube: %q, %v", b, err)
	}
	if _, b, err := f.Bytes("w"); err != nil || len(b) != 36 || b[35] != 35 {
		t.Errorf("w: %v, %v", b, err)
	}
	if _, _, err := f.Bytes("x"); err == nil || !strings.Contains(err.Error(), `no tensor "x"`) {
		t.Error(err)
	}
}

// The first bytes are those that the format's text asks for, written out by hand.
func TestBytesOfTheHead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.gguf")
	if err := Write(path, []Pair{{"k", uint32(7)}, {"l", []int32{-1}}}, []Tensor{{Name: "t", Type: F32, Shape: []int64{1, 2}, Data: []byte("abcdefgh")}}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "GGUF\x03\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00" + "\x02\x00\x00\x00\x00\x00\x00\x00" +
		"\x01\x00\x00\x00\x00\x00\x00\x00k" + "\x04\x00\x00\x00" + "\x07\x00\x00\x00" +
		"\x01\x00\x00\x00\x00\x00\x00\x00l" + "\x09\x00\x00\x00" + "\x05\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00" + "\xff\xff\xff\xff" +
		"\x01\x00\x00\x00\x00\x00\x00\x00t" + "\x02\x00\x00\x00" + "\x02\x00\x00\x00\x00\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00"
	want += strings.Repeat("\x00", (32-len(want)%32)%32) + "abcdefgh" + strings.Repeat("\x00", 24)
	if string(got) != want {
		t.Errorf("\n%q, want\n%q", got, want)
	}
}

// Whatever is wrong with a file is one error that says what and where.
func TestCorruptFiles(t *testing.T) {
	good := sample(t)
	change := func(old, new string) []byte {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("the sample has no %q", old)
		}
		return bytes.Replace(good, []byte(old), []byte(new), 1)
	}
	word := func(x uint64) string { return string(binary.LittleEndian.AppendUint64(nil, x)) }
	half := func(x uint32) string { return string(binary.LittleEndian.AppendUint32(nil, x)) }
	norm := word(4) + "norm" + half(1) + word(3) + half(0) + word(0)
	cases := map[string][]byte{
		`begins with "GGML", want "GGUF"`:                                          change("GGUF", "GGML"),
		"version 2, want 3":                                                        change("GGUF\x03", "GGUF\x02"),
		"truncated: 8 bytes wanted at 0":                                           []byte("GGUF"),
		"truncated: 8 bytes wanted at 295, where 5 are left":                       good[:300],
		"tensors and 24 pairs in a file":                                           change("\x03\x00\x00\x00"+word(3), "\x03\x00\x00\x00"+word(1<<40)),
		"pairs in a file of":                                                       change(word(24), word(1<<50)),
		`key "u8": a value of unknown kind 13`:                                     change("u8"+half(kindUint8), "u8"+half(13)),
		`key "yes": a boolean of 2`:                                                change("yes"+half(kindBool)+"\x01", "yes"+half(kindBool)+"\x02"),
		`key "words": truncated: 1099511627776 strings`:                            change(half(kindArray)+half(kindString)+word(3), half(kindArray)+half(kindString)+word(1<<40)),
		`key "ids": truncated`:                                                     change(half(kindInt32)+word(2), half(kindInt32)+word(1<<62)),
		`key "ids": a value of unknown kind 9`:                                     change("ids"+half(kindArray)+half(kindInt32), "ids"+half(kindArray)+half(kindArray)),
		`key "u8" is there twice`:                                                  change("\x02\x00\x00\x00\x00\x00\x00\x00i8"+half(kindInt8), "\x02\x00\x00\x00\x00\x00\x00\x00u8"+half(kindInt8)),
		`tensor "norm": unknown type 12 (known: 0 F32`:                             change(norm, word(4)+"norm"+half(1)+word(3)+half(12)+word(0)),
		`tensor "norm": 9 dimensions`:                                              change(norm, word(4)+"norm"+half(9)+word(3)+half(0)+word(0)),
		`tensor "norm": data at 16, want 0: the next multiple of the alignment 32`: change(norm, word(4)+"norm"+half(1)+word(3)+half(0)+word(16)),
		`tensor "norm": shape [-1], want positive sizes`:                           change(norm, word(4)+"norm"+half(1)+word(1<<64-1)+half(0)+word(0)),
		`tensor "norm": shape [1152921504606846976] of F32 overflows`:              change(norm, word(4)+"norm"+half(1)+word(1<<60)+half(0)+word(0)),
		`tensor "norm" takes 4000000 bytes in a file of`:                           change(norm, word(4)+"norm"+half(1)+word(1e6)+half(0)+word(0)),
		`tensor "norm": shape [3]: rows of 3 are no whole blocks of Q4_0`:          change(norm, word(4)+"norm"+half(1)+word(3)+half(2)+word(0)),
		`tensor "cube" ends at`:                                                    good[:len(good)-30],
		`key "general.alignment" is 24, want a power of two from 8 on`:             change(word(3)+"u32"+half(kindUint32)+half(3), word(17)+AlignmentKey+half(kindUint32)+half(24)),
		`tensor "w": data at 32, want 64: the next multiple of the alignment 64`:   change(word(3)+"u32"+half(kindUint32)+half(3), word(17)+AlignmentKey+half(kindUint32)+half(64)),
		`tensor "norm" is there twice`:                                             change(word(4)+"cube", word(4)+"norm"),
		`key "words": truncated: 1152921504606846976 bytes wanted`:                 change(word(1)+"a", word(1<<60)+"a"),
		`tensor "w": shape [1152921504606846976 32] of Q4_0 overflows 63 bits`:     change("w"+half(2)+word(32)+word(2), "w"+half(2)+word(32)+word(1<<60)),
	}
	for want, data := range cases {
		_, err := Parse(bytes.NewReader(data), int64(len(data)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	// Each smaller than the file, and not both together.
	two := change(norm, word(4)+"norm"+half(1)+word(240000)+half(0)+word(0))
	two = bytes.Replace(two, []byte("w"+half(2)+word(32)+word(2)+half(2)+word(32)), []byte("w"+half(2)+word(32)+word(20000)+half(2)+word(960000)), 1)
	if _, err := Parse(bytes.NewReader(two), 1e6); err == nil || !strings.Contains(err.Error(), `tensor "w" ends 1320000 bytes into the data`) {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.gguf")); err == nil {
		t.Error("a file that is not there was opened")
	}
}

func TestWriteRefuses(t *testing.T) {
	f32 := func(name string, shape ...int64) []Tensor {
		return []Tensor{{Name: name, Type: F32, Shape: shape, Data: []byte("1234")}}
	}
	for want, in := range map[string]struct {
		pairs   []Pair
		tensors []Tensor
	}{
		`key "a" is empty or there twice`:                  {pairs: []Pair{{"a", true}, {"a", true}}},
		"a value of type int, which":                       {pairs: []Pair{{"a", 1}}},
		`key "general.alignment"`:                          {pairs: []Pair{{AlignmentKey, uint32(64)}}},
		"longer than 63 bytes":                             {tensors: f32(strings.Repeat("x", 64), 1)},
		"or there twice":                                   {tensors: append(f32("x", 1), f32("x", 1)...)},
		`tensor "x": 4 bytes of data, but F32 [2] takes 8`: {tensors: f32("x", 2)},
		"0 dimensions":                                     {tensors: f32("x")},
		"stream wrote 0 bytes":                             {tensors: []Tensor{{Name: "x", Type: F32, Shape: []int64{1}, Stream: func(io.Writer) error { return nil }}}},
	} {
		err := Write(filepath.Join(t.TempDir(), "x.gguf"), in.pairs, in.tensors)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// FuzzParse feeds arbitrary bytes to the reader. What it accepts must lie inside the file, without overlaps, and be
// written again to a file that says the same.
func FuzzParse(f *testing.F) {
	good := sample(f)
	f.Add(good)
	for _, n := range []int{0, 7, 24, 60, len(good) / 2, len(good) - 1} {
		f.Add(good[:n])
	}
	f.Add(bytes.Replace(good, []byte("norm"), []byte("w\x00\x00\x00"), 1))
	f.Add([]byte("GGUF\x03\x00\x00\x00" + strings.Repeat("\xff", 16)))
	f.Add([]byte("GGUF\x03\x00\x00\x00" + strings.Repeat("\x00", 16)))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := Parse(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		end := int64(0)
		for _, i := range h.Tensors {
			if size, err := i.Type.Size(i.Shape); err != nil || size != i.Bytes || i.at < end || i.at+i.Bytes > int64(len(data)) {
				t.Fatalf("accepted %v of %d bytes at %d, file of %d: %v", i, i.Bytes, i.at, len(data), err)
			}
			end = i.at + i.Bytes
		}
		var tensors []Tensor
		for _, i := range h.Tensors {
			tensors = append(tensors, Tensor{Name: i.Name, Type: i.Type, Shape: i.Shape, Data: data[i.at : i.at+i.Bytes]})
		}
		head, _, err := encode(h.Pairs, tensors)
		if err != nil {
			return // names and keys that only a reader lets pass
		}
		for _, x := range tensors {
			head = append(head, x.Data...)
			head = append(head, make([]byte, padded(int64(len(x.Data)))-int64(len(x.Data)))...)
		}
		again, err := Parse(bytes.NewReader(head), int64(len(head)))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(h.Pairs, again.Pairs, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); d != "" || len(again.Tensors) != len(h.Tensors) {
			t.Fatalf("%d tensors, want %d; pairs:\n%s", len(again.Tensors), len(h.Tensors), d)
		}
	})
}
