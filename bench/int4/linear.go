package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/pkg/report"
	"golang.org/x/sys/cpu"
)

// product is y [m,n] = x [m,k]·Wᵀ with W4A8 weights of a group, that stream from memory or lie in the last cache.
type product struct {
	n, k, m, group int64
	cached         bool
}

// against is a rival of a product, and the goal.
type against struct {
	who  string // the memory, llama.cpp, or a peer of linear.py
	goal float64
}

const memory, llama = "read bandwidth", "llama.cpp Q4_0"

// Names in a table.
var shown = map[string]string{"torch_f32": "torch f32", "torch_bf16": "torch bf16", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}

func (p product) String() string {
	name := fmt.Sprintf("W4A8 M=%d g%d %d×%d", p.m, p.group, p.n, p.k)
	switch {
	case p.cached:
		return fmt.Sprintf("%s, cached set of %d MiB", name, p.set()/mib)
	case p.m == 1:
		return name + ", from memory"
	}
	return name
}

// set is the bytes that copies of the weights take together.
func (p product) set() int64 {
	switch {
	case p.cached:
		return min(44*mib, lastCache()/2)
	case p.m == 1:
		return max(512*mib, 2*lastCache())
	}
	return 128 * mib
}

// rivals of a product, those that the goals name first.
func (p product) rivals() []against {
	switch {
	case p.cached:
		return []against{{memory, 0.92}, {llama, 1}}
	case p.m == 1:
		return []against{{memory, 0.93}, {llama, 1}, {"onnxruntime", 1}, {"torch_bf16", 1}, {"torch_f32", 1}}
	case p.m == 16:
		return []against{{"openvino", 2.5}, {"torch_bf16", 1}, {"torch_f32", 1}, {"onnxruntime", 1}, {llama, 1}}
	case p.group == 32:
		return []against{{"openvino", 1.2}, {llama, 2}, {"onnxruntime", 1}}
	}
	return []against{{"openvino", 1.7}, {"torch_bf16", 1}, {"torch_f32", 1}, {"onnxruntime", 1}, {llama, 1}}
}

// products are all cases.
func products() (list []product) {
	shapes := [][2]int64{{2048, 2048}, {6144, 2048}, {2048, 6144}}
	for _, group := range []int64{32, 128} {
		for _, s := range shapes {
			list = append(list, product{n: s[0], k: s[1], m: 1, group: group})
		}
		for _, s := range [][2]int64{{3072, 1024}, {1024, 3072}, {2048, 2048}} {
			list = append(list, product{n: s[0], k: s[1], m: 1, group: group, cached: true})
		}
	}
	for _, c := range []struct{ m, group int64 }{{16, 128}, {128, 128}, {128, 32}} {
		for _, s := range shapes {
			list = append(list, product{n: s[0], k: s[1], m: c.m, group: c.group})
		}
	}
	return list
}

// linears races products.
func linears(ctx context.Context, b *bench) error {
	fmt.Printf("instructions: AVX2 %s, AVX-512 VNNI %s, AMX %s; last cache %d MiB\n", have(cpu.X86.HasAVX2), have(cpu.X86.HasAVX512VNNI), have(cpu.X86.HasAMXInt8), lastCache()/mib)
	for _, p := range products() {
		if err := b.linear(ctx, p); err != nil {
			return fmt.Errorf("%v: %w", p, err)
		}
	}
	return errors.Join(b.stopScript("linear.py"), b.stopScript("llama.py"))
}

// passes of one turn, of which the best counts.
const passes = 3

func (b *bench) linear(ctx context.Context, p product) (err error) {
	rivals := p.rivals()
	if rivals = slices.DeleteFunc(rivals, func(a against) bool { return !b.wants(p.against(a)) }); len(rivals) == 0 {
		return nil
	}
	w, err := newWeights(b.o.threads, p.n, p.k, p.m, p.group, p.set())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	// Cached sets take microseconds: more passes, so that a turn is worth the wait.
	n := passes
	if p.cached {
		n = 200
	}
	ours := side(w.product, n)
	var races []race
	for _, a := range rivals {
		r := race{Contest: contest.Contest{Name: p.against(a), Goal: a.goal, Ours: ours, Note: p.note(a)}, profile: p.profile(b, w)}
		if a.who == memory {
			r.Rival = side(w.read, n)
		} else {
			r.rival = b.peer(ctx, script(a.who))
			if a.who == "torch_bf16" {
				r.why = emulated("bfloat16")
			}
			if r.why == nil {
				r.why = r.rival.do(p.open(a.who, int64(len(w.list))))
			}
			if r.why == nil {
				r.Rival = r.rival.time(task{"stage": "run", "peer": a.who, "passes": n})
			}
		}
		races = append(races, r)
	}
	if err := b.run(ctx, p.String(), races); err != nil {
		return err
	}
	for _, r := range races {
		if r.rival != nil && r.rival.why == nil {
			if err := r.rival.do(task{"stage": "close"}); err != nil {
				return err
			}
		}
	}
	return nil
}

// against names the row of a rival.
func (p product) against(a against) string {
	if s := shown[a.who]; s != "" {
		return fmt.Sprintf("%v: %s", p, s)
	}
	return fmt.Sprintf("%v: %s", p, a.who)
}

// note says what the goal supposes that this machine has not.
func (p product) note(a against) string {
	switch {
	case p.m > 1:
		return onAMX(a.goal)
	case p.cached && p.set() < 44*mib:
		return fmt.Sprintf("44 MiB do not fit: the last cache has %d MiB", lastCache()/mib)
	}
	return ""
}

func script(who string) string {
	if who == llama {
		return "llama.py"
	}
	return "linear.py"
}

// open is the task that makes a peer's weights: copies, or so many that the set has as many bytes as ours.
func (p product) open(who string, copies int64) task {
	if bytes := map[string]int64{"torch_f32": 4, "torch_bf16": 2}[who]; bytes > 0 {
		copies = max(2, p.set()/(bytes*p.n*p.k))
	}
	return task{"stage": "open", "peer": who, "n": p.n, "k": p.k, "m": p.m, "group": p.group, "copies": copies}
}

// profile compares the product with its parts: reading alone, weights that lie in the near cache, one thread, and what
// starting the threads and quantizing the input takes.
func (p product) profile(b *bench, w *weights) func(float64) (*report.Table, error) {
	return func(ours float64) (*report.Table, error) {
		t := &report.Table{Title: p.String(), Columns: []string{"", "ms a product", "GB/s of weights", "Gop/s"}}
		add := func(name string, ms, ops float64) {
			cells := []any{name, fmt.Sprintf("%.4f", ms), fmt.Sprintf("%.1f", float64(w.bytes())/ms/1e6), ""}
			if ops > 0 {
				cells[3] = fmt.Sprintf("%.0f", ops/ms/1e6)
			}
			t.Add(cells...)
		}
		ops := 2 * float64(p.n*p.k*p.m)
		add("the product", ours, ops)
		read, err := w.read(5)
		if err != nil {
			return nil, err
		}
		add("reading its weights, and nothing else", read, 0)
		// So few rows that each thread's lie in its second cache, scaled up to all rows.
		near, err := p.alone(b.o.threads, max(16, 256<<10/(p.k/2)/16*16)*int64(b.o.threads))
		if err != nil {
			return nil, err
		}
		add("with weights in the second cache", near, ops)
		one, err := p.alone(1, p.n)
		if err != nil {
			return nil, err
		}
		add("one thread, weights in the caches where they fit", one, ops)
		few, err := p.alone(b.o.threads, 16)
		if err != nil {
			return nil, err
		}
		add("threads and x alone: 16 rows of it", few*16/float64(p.n), 0)
		return t, nil
	}
}

// alone is milliseconds of the product with the same few matrices of so many rows, scaled to p's rows.
func (p product) alone(threads int, rows int64) (float64, error) {
	rows = min(rows, p.n)
	w, err := newWeights(threads, rows, p.k, p.m, p.group, 0)
	if err != nil {
		return 0, err
	}
	ms, err := w.product(50)
	return ms * float64(p.n) / float64(rows), errors.Join(err, w.close())
}
