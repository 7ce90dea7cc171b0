package distill

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/talker"
)

// Classes of the codec head that a KL compares.
type Classes string

const (
	// Reachable are the codes and the end token: what sampling can choose.
	Reachable Classes = "reachable"
	// Full is the whole vocabulary of the head, control tokens included.
	Full Classes = "full"
)

// UnmarshalText accepts the names above.
func (k *Classes) UnmarshalText(text []byte) error {
	v := Classes(text)
	if !slices.Contains([]Classes{Reachable, Full}, v) {
		return fmt.Errorf("%q, want one of: %s", text, strings.Join(v.Choices(), ", "))
	}
	*k = v
	return nil
}

// Choices lists the names.
func (Classes) Choices() []string { return []string{string(Reachable), string(Full)} }

// Config weighs the terms of a distillation. A term with weight 0 is not computed.
type Config struct {
	// Objective pairs hidden states with frames. Only talker.Aligned can be trained with.
	Objective talker.Objective `toml:"objective"`

	KLCode0 float64 `toml:"kl_code0"`
	KLCodes float64 `toml:"kl_codes"`
	Hidden  float64 `toml:"hidden"`
	EOS     float64 `toml:"eos"`
	CECode0 float64 `toml:"ce_code0"`
	CECodes float64 `toml:"ce_codes"`

	Temperature float64 `toml:"temperature"` // of both KL; 1 matches the distributions themselves
	// CodebookWeights weigh codes 1 … G-1 in kl_codes and ce_codes; empty: all 1.
	CodebookWeights []float64 `toml:"codebook_weights"`
	Code0Classes    Classes   `toml:"code0_classes"`
	// ChunkRows bounds the rows (of code 0) and the frames (of the other codes) whose logits exist at a time, forward and
	// backward, the teacher's too. It costs nothing but the price of quantizing the heads once per chunk. 0: no bound.
	ChunkRows int `toml:"chunk_rows"`
	// Beside lets the teacher's forward pass run at the same time as the student's, each on half of the threads: faster for
	// models whose operations are too small for several threads, at the price of the teacher's temporaries beside the
	// student's activations.
	Beside bool `toml:"beside"`
	// Cache puts what the teacher says on disk, so that training does without it.
	Cache CacheConfig `toml:"cache"`
	// Layouts weighs the prompts that the utterances are given by a Mix.
	Layouts Layouts `toml:"layouts"`
}

// DefaultConfig matches the teacher's distributions at temperature 1, with a pull on the hidden state.
func DefaultConfig() Config {
	return Config{
		Objective: talker.Aligned, KLCode0: 1, KLCodes: 1, Hidden: 0.3, EOS: 0.5, Temperature: 1, Code0Classes: Reachable,
		ChunkRows: 512, Cache: DefaultCacheConfig(),
		Layouts: Layouts{References: FromRow},
	}
}

// Validate reports all violations.
func (c Config) Validate() error {
	var errs []error
	sum := 0.0
	weight := func(key string, w float64) {
		if !(w >= 0) || math.IsInf(w, 0) {
			errs = append(errs, fmt.Errorf("%s is %v, want a finite number of at least 0", key, w))
		}
		sum += w
	}
	if err := c.Objective.Trainable(); err != nil {
		errs = append(errs, err)
	}
	for _, t := range c.weights() {
		weight(t.key, t.weight)
	}
	if sum == 0 {
		errs = append(errs, errors.New("all weights are 0, want at least one term"))
	}
	if !(c.Temperature > 0) || math.IsInf(c.Temperature, 0) {
		errs = append(errs, fmt.Errorf("temperature is %v, want a finite number above 0", c.Temperature))
	}
	for i, w := range c.CodebookWeights {
		weight(fmt.Sprintf("codebook_weights[%d]", i), w)
	}
	if !slices.Contains([]Classes{Reachable, Full}, c.Code0Classes) {
		errs = append(errs, fmt.Errorf("code0_classes is %q, want one of: %s", c.Code0Classes, strings.Join(c.Code0Classes.Choices(), ", ")))
	}
	if c.ChunkRows < 0 {
		errs = append(errs, fmt.Errorf("chunk_rows is %d, want 0 or more", c.ChunkRows))
	}
	errs = append(errs, c.Layouts.Validate(), c.Cache.validate(c))
	return errors.Join(errs...)
}

type termWeight struct {
	key    string
	weight float64
}

func (c Config) weights() []termWeight {
	return []termWeight{
		{"kl_code0", c.KLCode0}, {"kl_codes", c.KLCodes}, {"hidden", c.Hidden}, {"eos", c.EOS},
		{"ce_code0", c.CECode0}, {"ce_codes", c.CECodes},
	}
}

// fits checks what depends on the model.
func (c Config) fits(m *talker.Model) error {
	if n := len(c.CodebookWeights); n != 0 && n != m.Config.Groups()-1 {
		return fmt.Errorf("distill: codebook_weights has %d numbers, want %d (codes 1 … G-1) or none", n, m.Config.Groups()-1)
	}
	return nil
}
