// Package rng gives every consumer of randomness its own stream.
//
// Two rules make runs reproducible. A stream is named, so adding a consumer
// never shifts the numbers of another:
//
//	data := rng.New(seed, "data")
//	order := data.Perm(n)
//
// And a stream's whole state is 16 bytes that can be saved, so a resumed run
// draws what the uninterrupted one would have drawn (Stream implements
// encoding.TextMarshaler). Where even that is too much to keep, e.g. for
// per-parameter noise, At computes a stream from counters alone: (seed,
// parameter, step) needs no state between steps.
//
// The generator is PCG-DXSM of math/rand/v2, whose output is fixed by its
// documentation.
package rng

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
)

// Stream is a random number generator with a serializable state. The methods
// of rand.Rand keep no state of their own, so State covers all of them. It is
// not safe for concurrent use.
type Stream struct {
	*rand.Rand
	pcg *rand.PCG
}

// New returns the stream of that name for a seed. Different names or seeds
// give unrelated streams.
func New(seed int64, name string) *Stream {
	b := binary.LittleEndian.AppendUint64([]byte("qakd/rng/name\x00"), uint64(seed))
	return fromHash(append(b, name...))
}

// At returns the stream of a parameter at a training step. It is a pure function
// of its arguments: the order in which parameters are visited, and whether the
// run was resumed, do not matter.
func At(seed int64, parameter, step uint64) *Stream {
	b := binary.LittleEndian.AppendUint64([]byte("qakd/rng/at\x00"), uint64(seed))
	b = binary.LittleEndian.AppendUint64(b, parameter)
	return fromHash(binary.LittleEndian.AppendUint64(b, step))
}

// fromHash seeds a generator with the first 128 bits of SHA-256: neighboring
// seeds and counters end up far apart, which plain PCG seeding does not promise.
func fromHash(key []byte) *Stream {
	sum := sha256.Sum256(key)
	pcg := rand.NewPCG(binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:16]))
	return &Stream{rand.New(pcg), pcg}
}

// Seed derives a seed for another generator, e.g. torch's, from a seed and a
// name. It is never negative.
func Seed(seed int64, name string) int64 { return int64(New(seed, name).Uint64() >> 1) }

// MarshalText encodes the state as hex, for JSON and TOML.
func (s *Stream) MarshalText() ([]byte, error) {
	state, err := s.pcg.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("rng: %w", err)
	}
	return hex.AppendEncode(nil, state), nil
}

// UnmarshalText restores a state that MarshalText wrote.
func (s *Stream) UnmarshalText(text []byte) error {
	state, err := hex.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("rng: state %q: %w", text, err)
	}
	pcg := &rand.PCG{}
	if err := pcg.UnmarshalBinary(state); err != nil {
		return fmt.Errorf("rng: state %q: %w", text, err)
	}
	s.pcg, s.Rand = pcg, rand.New(pcg)
	return nil
}
