package tensor

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// rssMiB is the anonymous memory of the process, or -1 where the system does not tell.
func rssMiB(t *testing.T) float64 {
	f, err := os.Open("/proc/self/status")
	if os.IsNotExist(err) {
		return -1
	}
	must(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if kb, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(kb), " kB"))
			must(t, err)
			return float64(n) / 1024
		}
	}
	return -1
}

// Go's collector sees none of a tensor's memory: without scopes, 200 steps of 40 MiB end it.
func TestMemoryIsFlat(t *testing.T) {
	if rssMiB(t) < 0 {
		t.Skip("no RssAnon on this system")
	}
	const side = 1024 // 4 MiB in float32
	run(t, func(s *Scope) {
		w, x := s.Ones(gotch.Float, side, side), s.Ones(gotch.Float, side, side)
		must(t, RequireGrad(w, true))
		var early float64
		for k := range 200 {
			err := Run(func(in *Scope) error {
				h := in.Mul(in.AddScalar(x, float64(k)), w)
				in.Nest(func(deep *Scope) { h = deep.Promote(deep.Sigmoid(h)) })
				h = in.Checkpoint(func(seg *Scope, ins []*ts.Tensor) []*ts.Tensor { return []*ts.Tensor{seg.Mul(ins[0], w)} }, 1, h)[0]
				if err := Backward(in.Mean(h)); err != nil {
					return err
				}
				in.Gradient(w)
				return ZeroGrad(w)
			})
			must(t, err)
			if k == 20 {
				early = rssMiB(t)
			}
		}
		if late := rssMiB(t); late > early+16 {
			t.Errorf("%.0f MiB after 200 steps, %.0f after 20: want no growth", late, early)
		}
	})
}

func TestHeld(t *testing.T) {
	before := ResetHeld()
	run(t, func(s *Scope) {
		x := s.Zeros(gotch.Float, 1<<20) // 4 MiB
		s.Nest(func(in *Scope) { in.Add(x, x) })
		now, peak := Held()
		if n := now - before; n < 4<<20 || n > 5<<20 {
			t.Errorf("%d bytes are held with one tensor of 4 MiB", n)
		}
		if n := peak - before; n < 8<<20 || n > 10<<20 {
			t.Errorf("at most %d bytes were held with two of them", n)
		}
		s.Nest(func(in *Scope) { in.Add(x, x) }) // in a block that was kept
		if _, again := Held(); again != peak {
			t.Errorf("the peak became %d, was %d", again, peak)
		}
	})
	if now, _ := Held(); now != before {
		t.Errorf("%d bytes more are held after the scope", now-before)
	}
}
