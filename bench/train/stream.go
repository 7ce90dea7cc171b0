package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/qakd/qakd/pkg/report"
)

// cached is millions of parameters that stay in caches with gradients and moments.
const cached = 0.25

// profile sets the time of a step that moves so many bytes a parameter beside what memory could do, and beside what the
// arithmetic takes where memory does not count.
func (o options) profile(name string, bytes float64, step func(s *shelf) error) profile {
	return profile{name, func(_ context.Context, ours float64) (*report.Table, error) {
		near, err := inCaches(step)
		if err != nil {
			return nil, err
		}
		speed, err := stream(o.threads)
		if err != nil {
			return nil, err
		}
		moved := bytes * o.params * 1e6
		t := &report.Table{Columns: []string{"", ""}}
		t.Add("bytes a parameter, read and written", fmt.Sprintf("%.2f", bytes))
		t.Add("GB in all", fmt.Sprintf("%.2f", moved/1e9))
		t.Add("memory's GB/s, copying", fmt.Sprintf("%.1f", speed/1e9))
		t.Add("ms at that speed", ms(1000*moved/speed))
		t.Add("ms for as many parameters in caches", ms(near*o.params))
		t.Add("ms, best of the rounds", ms(ours))
		t.Add("GB/s of that", fmt.Sprintf("%.1f", moved/ours/1e6))
		return t, nil
	}}
}

// inCaches is the milliseconds of a step for a million parameters whose memory is all in caches.
func inCaches(step func(s *shelf) error) (float64, error) {
	s := &shelf{}
	defer s.close()
	if err := s.fill(cached, 1); err != nil {
		return 0, err
	}
	const steps = 50
	ms, err := bestOf(func() (float64, error) {
		began := time.Now()
		for range steps {
			if err := s.setGradients(); err != nil {
				return 0, err
			}
			if err := step(s); err != nil {
				return 0, err
			}
		}
		return since(began), nil
	})
	return ms / steps / cached, err
}

// stream is the bytes a second, read and written, of threads that copy memory far larger than caches.
func stream(threads int) (float64, error) {
	const size = 256 << 20
	from, to := make([]byte, size*threads), make([]byte, size*threads)
	for i := 0; i < len(from); i += 4096 { // its pages exist only when they are written
		from[i] = 1
	}
	ms, err := bestOf(func() (float64, error) {
		began := time.Now()
		var wg sync.WaitGroup
		for k := range threads {
			wg.Go(func() { copy(to[k*size:(k+1)*size], from[k*size:(k+1)*size]) })
		}
		wg.Wait()
		return since(began), nil
	})
	return 2 * size * float64(threads) / ms * 1000, err
}
