package data

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
)

// SamplerConfig says how a set is cut into batches.
type SamplerConfig struct {
	BatchSize int    `toml:"batch_size"` // utterances per batch, at least 1
	Seed      uint64 `toml:"seed"`       // decides every permutation
	Shuffle   bool   `toml:"shuffle"`    // false: in order of the set
	// Window is the number of batches whose utterances are sorted by length before they are cut into batches, so that
	// a batch holds utterances of similar length and little padding. 0 or 1: no sorting. Needs Shuffle.
	Window int `toml:"window"`
}

// DefaultSamplerConfig is batches of 8, shuffled, seed 1, no sorting by length.
func DefaultSamplerConfig() SamplerConfig { return SamplerConfig{BatchSize: 8, Seed: 1, Shuffle: true} }

// Validate reports all violations.
func (c SamplerConfig) Validate() error {
	var errs []error
	if c.BatchSize < 1 {
		errs = append(errs, fmt.Errorf("batch_size is %d, want at least 1", c.BatchSize))
	}
	if c.Window < 0 {
		errs = append(errs, fmt.Errorf("window is %d, want 0 or more batches", c.Window))
	}
	if c.Window > 1 && !c.Shuffle {
		errs = append(errs, fmt.Errorf("window is %d, want 0 without shuffle", c.Window))
	}
	return errors.Join(errs...)
}

// Sampler cuts a set into an endless sequence of batches: every epoch visits each utterance once, in an order drawn
// from (seed, epoch). The last batch of an epoch is shorter where the batch size does not divide the set.
type Sampler struct {
	set   Set
	cfg   SamplerConfig
	next  int
	epoch int     // the epoch that order belongs to, -1 none
	order [][]int // batches of the epoch
}

// NewSampler checks the configuration and that the set holds something (else an error that wraps ErrEmpty).
func NewSampler(set Set, cfg SamplerConfig) (*Sampler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if set.Len() == 0 {
		return nil, fmt.Errorf("data: %w", ErrEmpty)
	}
	return &Sampler{set: set, cfg: cfg, epoch: -1}, nil
}

// PerEpoch is the number of batches that visit each utterance once.
func (s *Sampler) PerEpoch() int { return (s.set.Len() + s.cfg.BatchSize - 1) / s.cfg.BatchSize }

// Position is the index of the batch that Next will return: all the state there is to save.
func (s *Sampler) Position() int { return s.next }

// Seek makes Next return batch i. A negative index is an error.
func (s *Sampler) Seek(i int) error {
	if i < 0 {
		return fmt.Errorf("data: batch index is %d, want 0 or more", i)
	}
	s.next = i
	return nil
}

// Next returns the batch at Position and moves on.
func (s *Sampler) Next() ([]Utterance, error) {
	b, err := s.Batch(s.next)
	if err == nil {
		s.next++
	}
	return b, err
}

// Batch returns batch i ≥ 0: the same for the same set, configuration and i, whatever was asked before.
func (s *Sampler) Batch(i int) ([]Utterance, error) {
	if i < 0 {
		return nil, fmt.Errorf("data: batch index is %d, want 0 or more", i)
	}
	if epoch := i / s.PerEpoch(); epoch != s.epoch {
		order, err := s.arrange(epoch)
		if err != nil {
			return nil, err
		}
		s.epoch, s.order = epoch, order
	}
	idx := s.order[i%s.PerEpoch()]
	batch := make([]Utterance, len(idx))
	for j, k := range idx {
		u, err := s.set.At(k)
		if err != nil {
			return nil, err
		}
		batch[j] = u
	}
	return batch, nil
}

// arrange draws the batches of an epoch.
func (s *Sampler) arrange(epoch int) ([][]int, error) {
	n, size := s.set.Len(), s.cfg.BatchSize
	r := rand.New(rand.NewPCG(s.cfg.Seed, uint64(epoch)))
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	if s.cfg.Shuffle {
		r.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	if s.cfg.Window > 1 {
		if err := s.sortWindows(order); err != nil {
			return nil, err
		}
	}
	var batches [][]int
	for lo := 0; lo < n; lo += size {
		batches = append(batches, order[lo:min(lo+size, n)])
	}
	if s.cfg.Window > 1 { // sorting left short ones first in each window; the order of batches is drawn anew
		r.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	}
	return batches, nil
}

// sortWindows sorts each window of order by rows (text and frames), ties by index.
func (s *Sampler) sortWindows(order []int) error {
	rows := make(map[int]int, len(order))
	for _, k := range order {
		u, err := s.set.At(k)
		if err != nil {
			return err
		}
		rows[k] = len(u.Text) + u.Frames()
	}
	width := s.cfg.Window * s.cfg.BatchSize
	for lo := 0; lo < len(order); lo += width {
		w := order[lo:min(lo+width, len(order))]
		sort.Slice(w, func(i, j int) bool {
			if rows[w[i]] != rows[w[j]] {
				return rows[w[i]] < rows[w[j]]
			}
			return w[i] < w[j]
		})
	}
	return nil
}
