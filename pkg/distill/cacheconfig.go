package distill

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Keep says what of a teacher's distributions a cache holds.
type Keep string

const (
	// KeepNothing, also "", asks the teacher itself.
	KeepNothing Keep = "none"
	// KeepTop is the most likely classes and the mass of all others.
	KeepTop Keep = "top"
	// KeepExact is all logits, in the teacher's dtype.
	KeepExact Keep = "exact"
)

// UnmarshalText accepts the names above.
func (k *Keep) UnmarshalText(text []byte) error {
	v := Keep(text)
	if !slices.Contains(v.Choices(), string(v)) {
		return fmt.Errorf("%q, want one of: %s", text, strings.Join(v.Choices(), ", "))
	}
	*k = v
	return nil
}

// Choices lists the names.
func (Keep) Choices() []string {
	return []string{string(KeepNothing), string(KeepTop), string(KeepExact)}
}

// CacheConfig is what of the teacher's outputs is computed once, in a pass over all that the training will see, and then
// read from disk. An utterance has an entry for each layout that it is drawn in.
type CacheConfig struct {
	Keep Keep `toml:"keep"`
	Top  int  `toml:"top"` // classes per row of keep = "top"
	// Hidden keeps the hidden states, in bf16. Without them the weight of hidden must be 0.
	Hidden bool   `toml:"hidden"`
	Dir    string `toml:"dir"` // folder, shared by runs of one teacher and one setting; "": in the run folder
	// Check is the number of utterances that are compared with the living teacher before the training; Tolerance the
	// mean total variation distance of their distributions, and the relative distance of hidden states, that is let pass.
	Check     int     `toml:"check"`
	Tolerance float64 `toml:"tolerance"`
}

// DefaultCacheConfig keeps nothing; told to keep top, 64 classes.
func DefaultCacheConfig() CacheConfig {
	return CacheConfig{Keep: KeepNothing, Top: 64, Hidden: true, Check: 8, Tolerance: 0.02}
}

// On tells whether there is a cache.
func (c CacheConfig) On() bool { return c.Keep == KeepTop || c.Keep == KeepExact }

// validate reports all violations; all is the configuration that c belongs to.
func (c CacheConfig) validate(all Config) error {
	var errs []error
	if c.Keep != "" && !slices.Contains(c.Keep.Choices(), string(c.Keep)) {
		errs = append(errs, fmt.Errorf("cache.keep is %q, want one of: %s", c.Keep, strings.Join(c.Keep.Choices(), ", ")))
	}
	if !c.On() {
		return errors.Join(errs...)
	}
	if c.Keep == KeepTop && c.Top < 1 {
		errs = append(errs, fmt.Errorf("cache.top is %d, want at least 1", c.Top))
	}
	if all.Hidden > 0 && !c.Hidden {
		errs = append(errs, fmt.Errorf("hidden is %v and cache.hidden false, want hidden 0 or cache.hidden true: the cache would have no hidden states to compare", all.Hidden))
	}
	if !all.Taught() {
		errs = append(errs, fmt.Errorf("cache.keep is %q, want %q: no term with a weight asks the teacher", c.Keep, KeepNothing))
	}
	if c.Check < 0 {
		errs = append(errs, fmt.Errorf("cache.check is %d, want 0 or more", c.Check))
	}
	if !(c.Tolerance > 0) || math.IsInf(c.Tolerance, 0) {
		errs = append(errs, fmt.Errorf("cache.tolerance is %v, want a finite number above 0", c.Tolerance))
	}
	return errors.Join(errs...)
}
