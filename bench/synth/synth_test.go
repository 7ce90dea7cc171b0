package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
)

// TestPublishedSizes: names, shapes and dtypes are right if the files come out at the published number of bytes, whose
// header counts every letter of a name and every digit of a shape.
func TestPublishedSizes(t *testing.T) {
	tests := []struct {
		size, kind     string
		tensors        int
		bytes, numbers int64
	}{
		{"1.7b", "base", 480, 3_857_413_744, 1_928_677_440},
		{"0.6b", "base", 478, 1_829_344_272, 914_643_008},
		{"1.7b", "custom_voice", 404, 3_833_402_552, 1_928_677_440 - 12_001_088},
		{"1.7b", "voice_design", 404, 3_833_402_552, 1_928_677_440 - 12_001_088},
	}
	for _, tt := range tests {
		o := options{size: tt.size, kind: tt.kind}
		stored := o.stored(context.Background(), o.tensors(), "BF16")
		size, err := ckpt.FileSize(stored, o.metadata())
		if err != nil {
			t.Fatal(err)
		}
		var numbers int64
		for _, x := range stored {
			numbers += elements(x.Shape)
		}
		if len(stored) != tt.tensors || size != tt.bytes || numbers != tt.numbers {
			t.Errorf("%s %s: %d tensors, %d bytes, %d numbers, want %d, %d, %d", tt.size, tt.kind,
				len(stored), size, numbers, tt.tensors, tt.bytes, tt.numbers)
		}
	}
	codec := options{}.stored(context.Background(), codecTensors(), "F32")
	if size, err := ckpt.FileSize(codec, nil); err != nil || size != 682_293_092 || len(codec) != 496 {
		t.Errorf("codec: %d tensors, %d bytes, %v, want 496 and 682293092", len(codec), size, err)
	}
}

// TestTalkerTakesThem: the inventory is what the talker declares from the same configuration, for every size and kind.
func TestTalkerTakesThem(t *testing.T) {
	for size := range talkers {
		for kind := range kinds {
			text, err := pretty(modelConfig(size, kind))
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := talker.ParseConfig(text)
			if err != nil {
				t.Fatalf("%s %s: %v", size, kind, err)
			}
			m, err := talker.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			var want, have []ckpt.Info
			for _, p := range nn.Params(m) {
				want = append(want, ckpt.Info{Name: p.Name, Shape: p.Shape})
			}
			for _, x := range talkerTensors(size) {
				have = append(have, ckpt.Info{Name: x.name, Shape: x.shape})
			}
			if err := ckpt.Check(have, want); err != nil {
				t.Errorf("%s %s: %v", size, kind, err)
			}
		}
	}
}

// TestSplit: shards hold every tensor once, none is empty, and they are of about one size.
func TestSplit(t *testing.T) {
	o := options{size: "0.6b", kind: "base"}
	for _, n := range []int{2, 3, 5, 17, 478} {
		tensors := o.stored(context.Background(), o.tensors(), "BF16")
		parts := split(slices.Clone(tensors), n)
		names := map[string]bool{}
		for i, p := range parts {
			size := int64(0)
			for _, x := range p {
				size += bytesOf(x)
			}
			if n < 4 && (size < 1_829_000_000/int64(n)*9/10 || size > 1_829_000_000/int64(n)*11/10) {
				t.Errorf("%d shards: number %d has %d bytes, want about the same as the others", n, i, size)
			}
			if len(p) == 0 {
				t.Errorf("%d shards: one is empty", n)
			}
			for _, x := range p {
				names[x.Name] = true
			}
		}
		if len(parts) != n || len(names) != len(tensors) {
			t.Errorf("%d shards: %d with %d tensors, want %d", n, len(parts), len(names), len(tensors))
		}
	}
}

// TestNumbers: the stream is normal with the wanted deviation, the same for the same seed and name, and cut to size.
func TestNumbers(t *testing.T) {
	read := func(name, dtype string, n, seed int64) []byte {
		var b bytes.Buffer
		if err := stream(&b, name, dtype, n, seed); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	const n = 1<<18 + 3
	raw := read("a.weight", "BF16", n, 1)
	if len(raw) != 2*n || !bytes.Equal(raw, read("a.weight", "BF16", n, 1)) || bytes.Equal(raw, read("b.weight", "BF16", n, 1)) {
		t.Fatal("not a function of seed and name, or of a wrong length")
	}
	var sum, square, largest float64
	for i := range n {
		v := float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16))
		sum, square, largest = sum+v, square+v*v, max(largest, math.Abs(v))
	}
	mean, std := sum/n, math.Sqrt(square/n)
	if math.Abs(mean) > 1e-4 || math.Abs(std-deviation) > 1e-4 || largest > 0.1 || largest < 0.07 {
		t.Errorf("mean %g, deviation %g, largest %g", mean, std, largest)
	}
	for name, want := range map[string]float32{"x.norm.weight": 1, "x.alpha": 0, "x.mlp_layer_scale.scale": 0.01} {
		raw := read(name, "F32", 5, 1)
		if len(raw) != 20 || math.Float32frombits(binary.LittleEndian.Uint32(raw[16:])) != want {
			t.Errorf("%s: % x, want five times %g", name, raw, want)
		}
	}
	if err := stream(failing{}, "a", "F32", 10, 1); err != io.ErrShortWrite {
		t.Errorf("a writer that fails gives %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestBadOptions(t *testing.T) {
	there := t.TempDir()
	tests := []struct {
		o    options
		want string
	}{
		{options{size: "3b", kind: "base", out: "x", shards: 1}, `-size "3b", want "1.7b" or "0.6b"`},
		{options{size: "1.7b", kind: "clone", out: "x", shards: 1}, `-kind "clone", want "base"`},
		{options{size: "0.6b", kind: "voice_design", out: "x", shards: 1}, "was never published"},
		{options{size: "1.7b", kind: "base", shards: 1}, "-out is missing"},
		{options{size: "1.7b", kind: "base", out: there, shards: 1}, "is there already"},
		{options{size: "1.7b", kind: "base", out: "x", shards: 481}, "-shards 481, want 1 to 480"},
	}
	for _, tt := range tests {
		if err := tt.o.validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v gives %v, want %q", tt.o, err, tt.want)
		}
	}
}

// TestInterrupted: nothing is left of a checkpoint whose writing was stopped.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	err := write(ctx, options{size: "0.6b", kind: "base", out: filepath.Join(dir, "m"), shards: 2})
	left, _ := os.ReadDir(dir)
	if err == nil || !strings.Contains(err.Error(), "canceled") || len(left) != 0 {
		t.Errorf("error %v, left behind: %v", err, left)
	}
}
