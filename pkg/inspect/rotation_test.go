package inspect_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/inspect"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

// A rotated checkpoint shows what it turns as it runs; its weights are not compared with those of a float one.
func TestQuantRotations(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "packed")
	m, err := talker.Load(sharded, talker.Options{})
	must(t, err)
	defer m.Close()
	m.Decoder.Rotation = nn.Hadamard{Block: 16, Seed: 5}
	m.Decoder.Blocks[0].MLP.Down.Transform = nn.Hadamard{Block: 128}
	_, err = qat.Prepare(m, config())
	must(t, err)
	_, err = qat.SaveCheckpoint(dir, m, qat.SaveOptions{Source: sharded})
	must(t, err)
	q := look[*inspect.Quant](t, dir, "quant", inspect.Options{})
	if len(q.Rotations) != 2 || q.Rotations[0] != (qat.Rotation{Path: "talker.model", Block: 16, Seed: 5}) {
		t.Errorf("rotations %+v", q.Rotations)
	}
	if text := print(t, q); !strings.Contains(text, "Hadamard rotations") || !strings.Contains(text, "talker.model.layers.0.mlp.down_proj") {
		t.Error(text)
	}
	c, err := inspect.Open(dir)
	must(t, err)
	if _, err := c.Quant(config(), sharded); err == nil || !strings.Contains(err.Error(), "its weights carry rotations") {
		t.Errorf("error %v of a comparison", err)
	}
}
