package int4

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/pkg/quant"
)

// BenchmarkDecode reports GB/s of weights, and their share of what reading the same memory takes, the best of a few rounds
// in turns. Copies of the weight lie in one piece of memory; its size says from where they stream:
//
//	go test ./pkg/int4 -run - -bench 'Decode/512MiB' -benchtime 5x
func BenchmarkDecode(b *testing.B) {
	for _, size := range []int64{12 << 20, 512 << 20} {
		data, err := native.Memory(size)
		if err != nil {
			b.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 1))
		for i := 0; i < len(data); i += 8 {
			v := r.Uint64()
			for k := range 8 {
				data[i+k] = byte(v >> (8 * k))
			}
		}
		for _, a := range []quant.ActivationScheme{dynamic, {}} {
			for _, group := range []int64{32, 128} {
				for _, shape := range [][2]int64{{2048, 2048}, {6144, 2048}, {2048, 6144}, {3072, 1024}} {
					name := fmt.Sprintf("%dMiB/%v/g%d/%dx%d", size>>20, a, group, shape[0], shape[1])
					b.Run(name, func(b *testing.B) { decode(b, data, shape[0], shape[1], scheme(group, true), a) })
				}
			}
		}
		native.FreeMemory(data)
	}
}

func decode(b *testing.B, data []byte, n, k int64, sch quant.WeightScheme, a quant.ActivationScheme) {
	size, err := Size(n, k, sch)
	if err != nil {
		b.Fatal(err)
	}
	p, err := native.NewPool(2, "")
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	step := (size + 63) / 64 * 64
	var all []*native.Matrix
	for at := int64(0); at+step <= int64(len(data)); at += step {
		m, err := At(data[at:at+size], n, k, sch)
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		if err := m.SetInput(a, 0); err != nil {
			b.Fatal(err)
		}
		d, err := m.Native("", nil)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, d)
	}
	x, y := gaussian(rand.New(rand.NewPCG(2, 3)), k, 1), make([]float32, n)
	best, read := time.Hour, time.Hour
	for b.Loop() {
		began := time.Now()
		for _, d := range all {
			if err := p.Apply(d, x, y); err != nil {
				b.Fatal(err)
			}
		}
		best = min(best, time.Since(began))
		d, err := p.ReadMemory(data)
		if err != nil {
			b.Fatal(err)
		}
		read = min(read, d)
	}
	ours, memory := float64(size)*float64(len(all))/best.Seconds(), float64(len(data))/read.Seconds()
	b.ReportMetric(ours/1e9, "GB/s")
	b.ReportMetric(memory/1e9, "read-GB/s")
	b.ReportMetric(100*ours/memory, "%read")
	b.ReportMetric(best.Seconds()*1e6/float64(len(all)), "us/product")
}
