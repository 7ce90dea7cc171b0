package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/talker"
)

// The committed teacher knows its language: held-out cross-entropy within 5 % of the entropy, and it listens to the
// speaker and to the lower codes.
func TestCommittedTeacher(t *testing.T) {
	if err := tensor.SetThreads(1); err != nil {
		t.Fatal(err)
	}
	dir, err := demo.TeacherDir()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 8_000_000 {
		t.Errorf("%d bytes of weights, want under 8 MB", info.Size())
	}
	m, err := talker.Load(dir, talker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	set, err := demo.New().Set(demo.Evaluation, 99, 128)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verdict(context.Background(), m, set, 32)
	if err != nil {
		t.Fatal(err)
	}
	if over := sum(v.CrossEntropy)/sum(v.Entropy) - 1; over > 0.05 || v.OverTruth > 0.05 {
		t.Errorf("cross-entropy %.1f %% above the entropy, %.1f %% above the truth; want at most 5 %%", 100*over, 100*v.OverTruth)
	}
	if v.Shuffled.Speakers < 0.2 || v.Shuffled.Lower < 0.2 {
		t.Errorf("shuffled speakers %+.1f %%, lower codes %+.1f %%; want at least 20 %% each", 100*v.Shuffled.Speakers, 100*v.Shuffled.Lower)
	}
}
