package stage

import (
	"os"
	"path/filepath"
	"testing"
)

// A folder weighs what it weighed before it could speak.
func TestTalkerBytes(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n int) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("model.safetensors", 700)
	write("config.json", 30)
	for _, name := range []string{"speech_tokenizer/model.safetensors", "speech_tokenizer/config.json"} {
		if n, err := talkerBytes(dir); n != 730 || err != nil {
			t.Errorf("%d bytes, error %v, want 730", n, err)
		}
		write(name, 5000)
	}
	if n, err := talkerBytes(filepath.Join(dir, "nowhere")); err == nil {
		t.Errorf("a folder that is not there has %d bytes", n)
	}
}
