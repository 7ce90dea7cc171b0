package train

import (
	"errors"
	"fmt"
	"iter"

	"github.com/qakd/qakd/pkg/data"
)

// take draws micro-batches from position at on until a step has its frames, or its number of micro-batches.
func (c Config) take(s *data.Sampler, at int) (batches [][]data.Utterance, total Counts, err error) {
	for i := at; ; i++ {
		us, err := s.Batch(i)
		if err != nil {
			return nil, total, err
		}
		batches = append(batches, us)
		total = total.Plus(Count(us))
		if c.full(s, i+1, len(batches), total.Frames) {
			return batches, total, nil
		}
		if len(batches) > s.PerEpoch() && total.Frames == 0 {
			return nil, total, errors.New("train: no utterance of the data has a frame")
		}
	}
}

// full tells whether a step has all its micro-batches; next is the position after them.
func (c Config) full(s *data.Sampler, next, batches int, frames int64) bool {
	if n := c.Accumulate; n > 0 {
		return frames > 0 && (batches >= n || next%s.PerEpoch() == 0)
	}
	return frames >= int64(max(c.TokensPerStep, 1))
}

// Batches is all micro-batches that a Loop over set asks its objective for, from the first step to the last.
func (c Config) Batches(set data.Set) iter.Seq2[[]data.Utterance, error] {
	return func(yield func([]data.Utterance, error) bool) {
		s, err := c.Sampler(set)
		if err != nil {
			yield(nil, fmt.Errorf("train: %w", err))
			return
		}
		at := 0
		for range c.Steps {
			batches, _, err := c.take(s, at)
			if err != nil {
				yield(nil, err)
				return
			}
			at += len(batches)
			for _, us := range batches {
				if !yield(us, nil) {
					return
				}
			}
		}
	}
}
