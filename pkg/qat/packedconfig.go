package qat

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/quant"
)

// PackedConfig is the quantization_config of a packed checkpoint, for programs that turn it into other formats and back.
type PackedConfig struct{ q quantizationConfig }

// NewPackedConfig is what SaveCheckpoint writes for layers and embedding tables (of which it reads Path, Weight and
// Activation) and for what stays float: paths, or "re:" regular expressions.
func NewPackedConfig(layers, tables []LayerPlan, ignore []string) *PackedConfig {
	return &PackedConfig{newQuantizationConfig(layers, tables, ignore, nil)}
}

// Rotations are what the model computes beside its projections.
func (c *PackedConfig) Rotations() []Rotation { return c.q.Turned.list() }

// ParsePackedConfig reads the value of the key quantization_config and refuses what this package cannot run.
func ParsePackedConfig(raw []byte) (*PackedConfig, error) {
	c := &PackedConfig{}
	if err := json.Unmarshal(raw, &c.q); err != nil {
		return nil, fmt.Errorf("quantization_config: %w", err)
	}
	if err := c.q.check(); err != nil {
		return nil, fmt.Errorf("quantization_config: %w", err)
	}
	return c, nil
}

// MarshalJSON writes the value of the key.
func (c *PackedConfig) MarshalJSON() ([]byte, error) { return json.Marshal(c.q) }

// Find is the scheme of what is packed at path, and whether that is an embedding table; ok is false where the configuration
// has nothing for it.
func (c *PackedConfig) Find(path string) (w quant.WeightScheme, a quant.ActivationScheme, table, ok bool) {
	g := c.q.findTable(path)
	if table = g != nil && namesTable(path, g); !table {
		g = c.q.find(path)
	}
	if g == nil {
		return w, a, false, false
	}
	w, a, err := g.schemes()
	return w, a, table, err == nil // ParsePackedConfig has tried them all
}

// Ignore is what stays float.
func (c *PackedConfig) Ignore() []string { return slices.Clone(c.q.Ignore) }

// namesTable tells whether a group of embeddings means the table at path: a class name says nothing of layers.
func namesTable(path string, g *configGroup) bool {
	return !slices.Contains(g.Targets, "Embedding") || strings.Contains(path, "embed")
}
