package audio

import (
	"fmt"
	"time"
)

// Rates that files may have and that Resample converts between, in Hz. A broken header outside them is an error rather
// than a conversion that takes all memory.
const (
	MinRate = 1_000
	MaxRate = 768_000
)

// Clip is mono sound.
type Clip struct {
	Rate    int       // samples per second
	Samples []float32 // full scale is ±1
}

// Duration is the time that the clip lasts.
func (c Clip) Duration() time.Duration {
	if c.Rate <= 0 {
		return 0
	}
	return time.Duration(float64(len(c.Samples)) / float64(c.Rate) * float64(time.Second))
}

// Load reads a WAV file (see Read) and converts it to the given rate.
func Load(path string, rate int) (Clip, error) {
	c, err := Read(path)
	if err != nil {
		return Clip{}, err
	}
	samples, err := Resample(c.Samples, c.Rate, rate)
	if err != nil {
		return Clip{}, fmt.Errorf("audio: %s: %w", path, err)
	}
	return Clip{Rate: rate, Samples: samples}, nil
}

func checkRate(rate int) error {
	if rate < MinRate || rate > MaxRate {
		return fmt.Errorf("sample rate %d Hz, want %d to %d", rate, MinRate, MaxRate)
	}
	return nil
}
