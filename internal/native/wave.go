package native

// #include <stdlib.h>
// #include "wave.h"
import "C"

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"unsafe"
)

// WaveStep is a causal convolution over time and what is done with its outputs y:
//
//	y[t·Phases+p] = Bias + Σ_j Weight[p][j]·x[t-(Taps-1-j)·Dilation]   (+ what was kept, with Add)
//	next step's x = y, or y + sin²(y·exp Alpha)/(exp Beta + 1e-9) where Alpha and Beta are given
type WaveStep struct {
	In, Out, Taps, Dilation, Phases int
	Weight                          []float32 // [Phases][Taps][In][Out]
	Bias                            []float32 // [Out]
	Alpha, Beta                     []float32 // [Out], or nil
	Add, Keep                       bool      // Keep holds y for the next step that adds
}

func (s *WaveStep) check() error {
	for _, v := range []int{s.In, s.Out, s.Taps, s.Dilation, s.Phases} {
		if v < 1 {
			return fmt.Errorf("in %d, out %d, taps %d, dilation %d, phases %d, want positive numbers", s.In, s.Out, s.Taps, s.Dilation, s.Phases)
		}
	}
	switch want := s.Phases * s.Taps * s.In * s.Out; {
	case len(s.Weight) != want:
		return fmt.Errorf("%d weights, want %d", len(s.Weight), want)
	case len(s.Bias) != s.Out:
		return fmt.Errorf("%d biases, want %d", len(s.Bias), s.Out)
	case len(s.Alpha) != len(s.Beta) || s.Alpha != nil && len(s.Alpha) != s.Out:
		return fmt.Errorf("%d and %d activation parameters, want none or %d", len(s.Alpha), len(s.Beta), s.Out)
	}
	return nil
}

// Wave is a chain of such steps, with weights of its own in C memory. Inputs are rounded to bfloat16, or are float32;
// sums are float32. It runs one piece at a time on its threads.
type Wave struct {
	mu      sync.Mutex
	wave    *C.nat_wave // nil once closed
	pool    *C.nat_pool
	in, out int // channels
	phases  int // rows out for a row in
	state   int // bytes
	kernels string
}

// WaveKernels names the kernels that this CPU can run, fastest last; with bf16, none is one that multiplies bfloat16.
func WaveKernels(bf16 bool) []string {
	var names []string
	for i := C.int(0); ; i++ {
		k := C.nat_wave_kernels_at(flag(bf16), i)
		if k == nil {
			return names
		}
		names = append(names, C.GoString(k.name))
	}
}

// NewWave makes a chain of n steps, each asked for once, in order. Kernels are one of WaveKernels, or "" for float32's
// fastest. The caller closes it.
func NewWave(n, threads int, kernels string, step func(i int) (*WaveStep, error)) (_ *Wave, err error) {
	k := waveKernels(kernels)
	if k == nil {
		return nil, fmt.Errorf("native: wave kernels %q, want one of %v or %v", kernels, WaveKernels(false), WaveKernels(true))
	}
	if n < 1 || threads < 1 {
		return nil, fmt.Errorf("native: a wave of %d steps on %d threads, want at least one", n, threads)
	}
	w := &Wave{phases: 1, kernels: C.GoString(k.name), wave: C.nat_wave_new(k, C.int(n)), pool: C.nat_pool_new(C.int(threads))}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	if w.wave == nil || w.pool == nil {
		return nil, fmt.Errorf("native: no memory or no threads for a wave of %d steps on %d threads", n, threads)
	}
	for i := range n {
		s, err := step(i)
		if err != nil {
			return nil, err
		}
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("native: wave step %d: %w", i, err)
		}
		if i > 0 && s.In != w.out {
			return nil, fmt.Errorf("native: wave step %d reads %d channels, want %d, those of the step before", i, s.In, w.out)
		}
		if !w.set(i, s) {
			return nil, fmt.Errorf("native: no memory for wave step %d", i)
		}
		if i == 0 {
			w.in = s.In
		}
		w.out, w.phases = s.Out, w.phases*s.Phases
	}
	w.state = int(C.nat_wave_state(w.wave))
	return w, nil
}

func waveKernels(name string) (found *C.nat_wave_kernels) {
	for _, bf16 := range []bool{false, true} {
		for i := C.int(0); ; i++ {
			k := C.nat_wave_kernels_at(flag(bf16), i)
			if k == nil {
				break
			}
			if C.GoString(k.name) == name || name == "" && !bf16 {
				found = k
			}
		}
	}
	return found
}

func (w *Wave) set(i int, s *WaveStep) bool {
	shape := C.nat_conv{in: C.int(s.In), out: C.int(s.Out), taps: C.int(s.Taps), dilation: C.int(s.Dilation),
		phases: C.int(s.Phases), add: flag(s.Add), keep: flag(s.Keep)}
	var frequency, scale []float32
	for c := range s.Alpha {
		frequency = append(frequency, float32(math.Exp(float64(s.Alpha[c]))/math.Pi))
		scale = append(scale, float32(1/(math.Exp(float64(s.Beta[c]))+1e-9)))
	}
	return C.nat_wave_step(w.wave, C.int(i), &shape, numbers(s.Weight), numbers(s.Bias), numbers(frequency), numbers(scale)) != 0
}

// Kernels names what computes.
func (w *Wave) Kernels() string { return w.kernels }

// NewState is that of a signal at its start.
func (w *Wave) NewState() []byte { return make([]byte, w.state) }

// Run goes on with the signal of a state: x [rows][in] becomes [rows·phases][out].
func (w *Wave) Run(state []byte, x []float32) ([]float32, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.wave == nil:
		return nil, errors.New("native: the wave is closed")
	case len(state) != w.state:
		return nil, fmt.Errorf("native: a state of %d bytes, want %d", len(state), w.state)
	case len(x) == 0 || len(x)%w.in != 0:
		return nil, fmt.Errorf("native: %d numbers, want rows of %d", len(x), w.in)
	}
	rows := len(x) / w.in
	out := make([]float32, rows*w.phases*w.out)
	if C.nat_wave_run(w.wave, w.pool, unsafe.Pointer(unsafe.SliceData(state)), numbers(x), C.int(rows), numbers(out)) == 0 {
		return nil, fmt.Errorf("native: no memory for %d rows", rows)
	}
	return out, nil
}

// Close frees weights and threads. A second call does nothing.
func (w *Wave) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	C.nat_wave_free(w.wave)
	C.nat_pool_free(w.pool)
	w.wave, w.pool = nil, nil
}

func flag(v bool) C.int {
	if v {
		return 1
	}
	return 0
}

func numbers(v []float32) *C.float { return (*C.float)(unsafe.SliceData(v)) }
