package qat

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/quant"
)

// EmbeddingConfig says which embedding tables are quantized, and how: symmetric codes, a scale for each row or for each
// group of a row, weights only.
type EmbeddingConfig struct {
	Bits      int   `toml:"bits"`       // 4 or 8; 0 leaves tables float
	GroupSize int64 `toml:"group_size"` // 32, 64 or 128 consecutive numbers of a row share a scale; 0 for the whole row
	// Include and Exclude are patterns on full paths, such as "talker.model.text_embedding", as those of Config.
	Include []string `toml:"include"`
	Exclude []string `toml:"exclude"`
	// Overrides give tables that are quantized another scheme; the first that matches counts. One that matches no quantized
	// table is an error.
	Overrides []EmbeddingOverride `toml:"overrides"`
}

// EmbeddingOverride is another scheme for the tables that Include matches.
type EmbeddingOverride struct {
	Include   []string `toml:"include"`
	Bits      int      `toml:"bits"`       // 4 or 8
	GroupSize int64    `toml:"group_size"` // as in EmbeddingConfig
}

// scheme is that of the table at path, as asked for. used collects the override patterns that matched.
func (e EmbeddingConfig) scheme(path string, used map[string]bool) quant.WeightScheme {
	for _, o := range e.Overrides {
		if matchAny(o.Include, path, used) {
			return tableScheme(o.Bits, o.GroupSize)
		}
	}
	return tableScheme(e.Bits, e.GroupSize)
}

func tableScheme(bits int, group int64) quant.WeightScheme {
	s := quant.WeightScheme{Bits: bits, Symmetric: true, Granularity: quant.PerGroup, GroupSize: group}
	if group == 0 {
		s.Granularity = quant.PerChannel
	}
	return s
}

func (e EmbeddingConfig) validate() error {
	errs := []error{patterns("embeddings.include", e.Include), patterns("embeddings.exclude", e.Exclude)}
	if e.Bits != 0 {
		errs = append(errs, within("embeddings", tableScheme(e.Bits, e.GroupSize).Validate()))
		if len(e.Include) == 0 {
			errs = append(errs, errors.New("qat: embeddings.include is empty, want at least one pattern such as \"**\""))
		}
	} else if e.GroupSize != 0 {
		errs = append(errs, fmt.Errorf("qat: embeddings.group_size %d with embeddings.bits 0, want bits 4 or 8", e.GroupSize))
	} else if len(e.Overrides) > 0 {
		errs = append(errs, errors.New("qat: embeddings.overrides with embeddings.bits 0, want bits 4 or 8"))
	}
	for i, o := range e.Overrides {
		at := fmt.Sprintf("embeddings.overrides[%d]", i)
		if len(o.Include) == 0 {
			errs = append(errs, fmt.Errorf("qat: %s wants include", at))
		}
		errs = append(errs, patterns(at+".include", o.Include), within(at, tableScheme(o.Bits, o.GroupSize).Validate()))
	}
	return errors.Join(errs...)
}
