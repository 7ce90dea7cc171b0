package data

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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
// from (seed, epoch); a set of Epochs shows that epoch of it. The last batch of an epoch is shorter where the batch size
// does not divide the set. Sorting by length reads one window at a time, so the first batch of a large set costs no more
// than the others.
type Sampler struct {
	set    Set
	cfg    SamplerConfig
	next   int
	epoch  int     // the epoch that order belongs to, -1 none
	order  []int   // of the epoch's utterances
	window int     // the window that sorted belongs to, -1 none
	sorted [][]int // batches of the window
}

// NewSampler checks the configuration and that the set holds something (else an error that wraps ErrEmpty).
func NewSampler(set Set, cfg SamplerConfig) (*Sampler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if set.Len() == 0 {
		return nil, fmt.Errorf("data: %w", ErrEmpty)
	}
	return &Sampler{set: set, cfg: cfg, epoch: -1, window: -1}, nil
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
		s.arrange(epoch)
	}
	idx, err := s.indices(i % s.PerEpoch())
	if err != nil {
		return nil, err
	}
	batch := make([]Utterance, len(idx))
	for j, k := range idx {
		u, err := s.at(k)
		if err != nil {
			return nil, err
		}
		batch[j] = u
	}
	return batch, nil
}

// at is utterance k as the arranged epoch has it.
func (s *Sampler) at(k int) (Utterance, error) {
	if e, ok := s.set.(Epochs); ok {
		return e.In(s.epoch, k)
	}
	return s.set.At(k)
}

// arrange draws the order of an epoch.
func (s *Sampler) arrange(epoch int) {
	s.epoch, s.window = epoch, -1
	s.order = make([]int, s.set.Len())
	for i := range s.order {
		s.order[i] = i
	}
	if s.cfg.Shuffle {
		r := rand.New(rand.NewPCG(s.cfg.Seed, uint64(epoch)))
		r.Shuffle(len(s.order), func(i, j int) { s.order[i], s.order[j] = s.order[j], s.order[i] })
	}
}

// indices of batch i of the epoch.
func (s *Sampler) indices(i int) ([]int, error) {
	if s.cfg.Window <= 1 {
		return cut(s.order, i, s.cfg.BatchSize), nil
	}
	if w := i / s.cfg.Window; w != s.window {
		if err := s.sortWindow(w); err != nil {
			return nil, err
		}
	}
	return s.sorted[i%s.cfg.Window], nil
}

// cut is piece i of x in pieces of n.
func cut(x []int, i, n int) []int { return x[i*n : min((i+1)*n, len(x))] }

// sortWindow cuts window w into batches of similar length (prompt and frames), ties by index, in an order drawn anew.
func (s *Sampler) sortWindow(w int) error {
	members := slices.Clone(cut(s.order, w, s.cfg.Window*s.cfg.BatchSize))
	rows := make(map[int]int, len(members))
	for _, k := range members {
		u, err := s.at(k)
		if err != nil {
			return err
		}
		rows[k] = u.rows()
	}
	slices.SortFunc(members, func(a, b int) int { return cmp.Or(cmp.Compare(rows[a], rows[b]), cmp.Compare(a, b)) })
	s.window, s.sorted = w, nil
	for lo := 0; lo < len(members); lo += s.cfg.BatchSize {
		s.sorted = append(s.sorted, members[lo:min(lo+s.cfg.BatchSize, len(members))])
	}
	r := rand.New(rand.NewPCG(s.cfg.Seed^uint64(w+1)<<32, uint64(s.epoch)))
	r.Shuffle(len(s.sorted), func(i, j int) { s.sorted[i], s.sorted[j] = s.sorted[j], s.sorted[i] })
	return nil
}
