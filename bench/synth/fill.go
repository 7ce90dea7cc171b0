package main

import (
	"encoding/binary"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/qakd/qakd/internal/rng"
)

// deviation of the random weights: that of a fresh model. Activations of the real widths then stay finite.
const deviation = 0.02

// constant is the value of a tensor that must not be noise: norms scale by 1, layer scales by a little, counts divide,
// and logarithms of SnakeBeta are those of 1.
func constant(name string) (value float32, ok bool) {
	switch {
	case strings.HasSuffix(name, "norm.weight"), strings.HasSuffix(name, "cluster_usage"), strings.HasSuffix(name, "initialized"):
		return 1, true
	case strings.HasSuffix(name, "layer_scale.scale"):
		return 0.01, true
	case strings.HasSuffix(name, ".alpha"), strings.HasSuffix(name, ".beta"):
		return 0, true
	}
	return 0, false
}

// quantiles of a normal distribution, at the middles of 2^16 equal parts of probability: indexed by 16 random bits they
// are normal numbers for the price of a look-up.
var quantiles = sync.OnceValue(func() *[1 << 16]float32 {
	var t [1 << 16]float32
	for i := range t {
		t[i] = float32(deviation * math.Sqrt2 * math.Erfinv(2*(float64(i)+0.5)/(1<<16)-1))
	}
	return &t
})

var halfQuantiles = sync.OnceValue(func() *[1 << 16]uint16 {
	var t [1 << 16]uint16
	for i, v := range quantiles() {
		t[i] = bfloat16(v)
	}
	return &t
})

// bfloat16 rounds to the nearest, ties to even; v is finite.
func bfloat16(v float32) uint16 {
	b := math.Float32bits(v)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// stream writes n elements of the tensor name in dtype, BF16 or F32. They depend on seed and name only.
func stream(w io.Writer, name, dtype string, n, seed int64) error {
	size := int64(4)
	if dtype == "BF16" {
		size = 2
	}
	buf := make([]byte, min(n*size+8, 1<<18)) // a multiple of 8 is filled, and cut to what is left
	buf = buf[:len(buf)&^7]
	value, fixed := constant(name)
	if fixed {
		repeat(buf, value, dtype)
	}
	random := rng.New(seed, name)
	for left := n * size; left > 0; {
		if !fixed {
			if dtype == "BF16" {
				normalHalves(buf, random)
			} else {
				normalFloats(buf, random)
			}
		}
		k, err := w.Write(buf[:min(left, int64(len(buf)))])
		if err != nil {
			return err
		}
		left -= int64(k)
	}
	return nil
}

func repeat(buf []byte, value float32, dtype string) {
	word := uint64(math.Float32bits(value))
	word |= word << 32
	if dtype == "BF16" {
		word = uint64(bfloat16(value)) * 0x0001_0001_0001_0001
	}
	for i := 0; i < len(buf); i += 8 {
		binary.LittleEndian.PutUint64(buf[i:], word)
	}
}

func normalHalves(buf []byte, random *rng.Stream) {
	t := halfQuantiles()
	for i := 0; i < len(buf); i += 8 {
		r := random.Uint64()
		v := uint64(t[uint16(r)]) | uint64(t[uint16(r>>16)])<<16 | uint64(t[uint16(r>>32)])<<32 | uint64(t[uint16(r>>48)])<<48
		binary.LittleEndian.PutUint64(buf[i:], v)
	}
}

func normalFloats(buf []byte, random *rng.Stream) {
	t := quantiles()
	for i := 0; i < len(buf); i += 8 {
		r := random.Uint64()
		binary.LittleEndian.PutUint32(buf[i:], math.Float32bits(t[uint16(r)]))
		binary.LittleEndian.PutUint32(buf[i+4:], math.Float32bits(t[uint16(r>>32)]))
	}
}
