package train_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/train"
)

func TestSettings(t *testing.T) {
	type inner struct {
		Weights []float64 `toml:"weights"`
		Name    string    // untagged
	}
	type Shared struct {
		Warmup int `toml:"warmup"`
	}
	type config struct {
		LR    float64 `toml:"lr"`
		Inner inner   `toml:"inner"`
		Shared
		Path   string `toml:"-"`
		hidden int
	}
	got := train.SettingsOf(config{LR: 1e-4, Inner: inner{[]float64{1, 0.5}, "x"}, Shared: Shared{7}, Path: "/tmp", hidden: 3})
	want := train.Settings{"lr": "0.0001", "inner.weights": "[1 0.5]", "inner.Name": "x", "warmup": "7"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
	// printf 'inner.Name = x\ninner.weights = [1 0.5]\nlr = 0.0001\nwarmup = 7\n' | sha256sum
	const hash = "b2882c66cd7b4161eedf486cfb92860fb59e3c4b32aea6c05e541f6394b7d330"
	if got.Hash() != hash {
		t.Errorf("hash %s, want %s", got.Hash(), hash)
	}
}
