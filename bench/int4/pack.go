package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
	"unsafe"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/report"
	"golang.org/x/sys/unix"
)

// packing races rounding to nearest of all weights of the 1.7B talker's layers, which lie in a file in bf16. llama.cpp
// writes what it makes to nowhere, ours leaves it in memory.
func packing(ctx context.Context, b *bench) (err error) {
	const size = "1.7b"
	w, err := openWeights(b.dense(size))
	if err != nil {
		return fmt.Errorf("%w (make bench-int4 makes the models)", err)
	}
	defer func() { err = errors.Join(err, w.close()) }()
	them := b.peer(ctx, "llama.py")
	bf16, _, why := b.ggufOf(ctx, them, talkerShape(size))
	rival := them.time(task{"stage": "quantize", "from": bf16, "to": "/dev/null"})
	var races []race
	for _, group := range []int64{32, 128} {
		ours := func(context.Context) (float64, error) { return w.pack(group, b.o.threads) }
		profile := func(best float64) (*report.Table, error) { return w.profile(group, best) }
		name := fmt.Sprintf("pack %.2f G weights by round-to-nearest g%d", float64(w.weights)/1e9, group)
		races = append(races,
			race{Contest: contest.Contest{Name: name + ": 0.6 s", Goal: 1, Ours: ours, Rival: bound(600)}, profile: profile},
			race{Contest: contest.Contest{Name: name + ": llama-quantize Q4_0", Goal: 7, Ours: ours, Rival: rival}, profile: profile, rival: them, why: why})
	}
	return errors.Join(b.run(ctx, "packing", races), b.stop(them))
}

// ggufOf is gguf, of a peer that may not be there.
func (b *bench) ggufOf(ctx context.Context, p *peer, d decoder) (bf16, q4 string, why error) {
	if p.why != nil {
		return "", "", p.why
	}
	return b.gguf(ctx, d)
}

// floats are the matrices of a talker's layers, in bf16.
type floats struct {
	file    *ckpt.Reader
	list    []matrix
	weights int64
	room    []byte // for the packed ones
}

type matrix struct {
	n, k int64
	w    []uint16
}

func openWeights(dir string) (f *floats, err error) {
	r, err := ckpt.Open(dir)
	if err != nil {
		return nil, err
	}
	f = &floats{file: r}
	for _, i := range r.Infos() {
		if ok, _ := filepath.Match("talker.model.layers.*_proj.weight", i.Name); !ok || i.DType != "BF16" {
			continue
		}
		_, b, err := r.Bytes(i.Name)
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		m := matrix{i.Shape[0], i.Shape[1], unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)}
		f.list, f.weights = append(f.list, m), f.weights+i.Elements()
	}
	if len(f.list) == 0 {
		return nil, errors.Join(fmt.Errorf("%s: no bf16 layers of a talker", dir), r.Close())
	}
	// In groups of 32 a weight takes 4.5 bits.
	if f.room, err = unix.Mmap(-1, 0, int(f.weights), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	_ = unix.Madvise(f.room, unix.MADV_HUGEPAGE) // a kernel may be without
	return f, nil
}

// pack is milliseconds of packing all.
func (f *floats) pack(group int64, threads int) (float64, error) {
	sch := quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: group}
	began, room := time.Now(), f.room
	for _, m := range f.list {
		size, err := int4.Size(m.n, m.k, sch)
		if err != nil {
			return 0, err
		}
		if err := int4.Nearest(room[:size], m.w, m.n, m.k, sch, threads); err != nil {
			return 0, err
		}
		room = room[size:]
	}
	return ms(time.Since(began)), nil
}

func (f *floats) profile(group int64, ours float64) (*report.Table, error) {
	t := &report.Table{Title: fmt.Sprintf("packing in groups of %d", group), Columns: []string{"", "ms", "GB/s read"}}
	add := func(name string, ms float64) {
		t.Add(name, fmt.Sprintf("%.0f", ms), fmt.Sprintf("%.1f", 2*float64(f.weights)/ms/1e6))
	}
	add("packing", ours)
	began, sum := time.Now(), uint64(0)
	for _, m := range f.list {
		for i := 0; i < len(m.w); i += 32 { // a line of the cache each
			sum += uint64(m.w[i])
		}
	}
	add(fmt.Sprintf("touching the weights, one thread (%x)", sum&15), ms(time.Since(began)))
	one, err := f.pack(group, 1)
	if err != nil {
		return nil, err
	}
	add("packing, one thread", one)
	return t, nil
}

func (f *floats) close() error { return errors.Join(unix.Munmap(f.room), f.file.Close()) }
