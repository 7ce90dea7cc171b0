package nn

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/sugarme/gotch"
)

// Loading never holds more than one further copy of the largest tensor: none of the file's pages stay with the process,
// and a tensor that is converted exists twice, one at a time.
func TestLoadMemory(t *testing.T) {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skipf("the high-water mark of memory cannot be reset here: %v", err)
	}
	const rows, width, tables = 4096, 2048, 6 // 16 MiB each in bf16
	var m tableList
	var stored []ckpt.Tensor
	zeros := make([]byte, 2*rows*width)
	for i := range tables {
		e := NewEmbedding("table."+strconv.Itoa(i), rows, width)
		m = append(m, e)
		stored = append(stored, ckpt.Tensor{Name: e.W.Name, DType: "BF16", Shape: e.W.Shape, Data: zeros})
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := ckpt.Write(path, stored, nil); err != nil {
		t.Fatal(err)
	}
	for _, dtype := range []gotch.DType{gotch.BFloat16, gotch.Float} {
		tensor.Trim()
		if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
			t.Fatal(err)
		}
		before := status(t, "VmRSS:")
		if err := loadFile(t, m, path, LoadOptions{DType: dtype, Device: gotch.CPU}); err != nil {
			t.Fatal(err)
		}
		table := tensor.ElementSize(dtype) * rows * width
		if extra := status(t, "VmHWM:") - before - tables*table; extra > table+table/4 {
			t.Errorf("%v: %d MiB beyond the parameters at the highest, want at most one table of %d MiB", dtype, extra>>20, table>>20)
		}
		Close(m)
	}
}

type tableList []*Embedding

func (l tableList) Visit(v Visitor) {
	for _, e := range l {
		e.Visit(v)
	}
}

// status is a size of this process in bytes.
func status(t *testing.T, key string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("/proc/self/status has no %s", key)
	return 0
}
