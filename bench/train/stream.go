package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/qakd/qakd/pkg/report"
)

// profile sets the time of a step that moves so many bytes a parameter beside what memory could do.
func (s *shelf) profile(name string, bytes float64, threads int, step func(context.Context) (float64, error)) profile {
	return profile{name, func(ctx context.Context) (*report.Table, error) {
		params := int64(0)
		for _, p := range s.params {
			params += p.NumElements()
		}
		least, err := bestOf(func() (float64, error) { return step(ctx) })
		if err != nil {
			return nil, err
		}
		speed, err := stream(threads)
		if err != nil {
			return nil, err
		}
		moved := bytes * float64(params)
		t := &report.Table{Columns: []string{"", ""}}
		t.Add("bytes a parameter, read and written", fmt.Sprintf("%.2f", bytes))
		t.Add("GB in all", fmt.Sprintf("%.2f", moved/1e9))
		t.Add("memory's GB/s, copying", fmt.Sprintf("%.1f", speed/1e9))
		t.Add("ms at that speed", ms(1000*moved/speed))
		t.Add("ms measured", ms(least))
		t.Add("GB/s measured", fmt.Sprintf("%.1f", moved/least/1e6))
		return t, nil
	}}
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
