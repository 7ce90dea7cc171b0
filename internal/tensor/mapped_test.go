package tensor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sugarme/gotch"
)

// TestMapFile: a view reads the file, outlives the scope that made it, and what is written to it stays out of the file.
func TestMapFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	content := []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40, 9} // 1, 2, 3 and a byte too many
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	err := Run(func(s *Scope) error {
		view := s.Narrow(s.MapFile(path, gotch.Float, int64(len(content))), 0, 1, 2)
		kept := s.Release(view)
		defer kept.Drop()
		if got, err := Floats(kept); err != nil || !slices.Equal(got, []float32{2, 3}) {
			t.Errorf("elements %v, %v; want [2 3]", got, err)
		}
		s.CopyInto(kept, s.FromFloats([]float32{7, 8}, 2))
		if got, err := Floats(kept); err != nil || !slices.Equal(got, []float32{7, 8}) {
			t.Errorf("written elements %v, %v; want [7 8]", got, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(path); !slices.Equal(after, content) {
		t.Errorf("the file became % x, want % x", after, content)
	}
	for _, tt := range []struct {
		path  string
		bytes int64
		want  string
	}{{path, 3, "3 bytes"}, {path, 64, path}, {path + ".none", 8, "data.none"}} {
		err := Run(func(s *Scope) error { s.MapFile(tt.path, gotch.Float, tt.bytes); return nil })
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s of %d bytes: error %v, want %q", tt.path, tt.bytes, err, tt.want)
		}
	}
}
