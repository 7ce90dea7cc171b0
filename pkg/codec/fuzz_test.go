package codec

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever the text, a configuration that is accepted can be declared.
func FuzzParseConfig(f *testing.F) {
	for _, name := range []string{"tiny-f32", "tiny-bf16", "tiny-sharded"} {
		raw, err := os.ReadFile(filepath.Join(fixture(name), "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"decoder_config": []}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		cfg, err := ParseConfig(raw)
		if err != nil {
			return
		}
		if _, err := New(cfg, Both); err != nil {
			t.Error(err)
		}
	})
}
