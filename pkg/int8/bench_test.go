package int8

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/pkg/quant"
)

// BenchmarkDecode reports GB/s of weights of products with one row of x, and their share of what reading the same memory
// takes, the best of a few rounds in turns. Copies of a weight fill 256 MiB:
//
//	go test ./pkg/int8 -run - -bench Decode -benchtime 5x
func BenchmarkDecode(b *testing.B) {
	for _, sch := range []quant.WeightScheme{
		{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}, {Bits: 8, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 32},
		{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 64}, {Bits: 8, Granularity: quant.PerChannel},
	} {
		for _, in := range []input{inputs[1], float} {
			for _, shape := range [][2]int64{{2048, 2048}, {2048, 6144}, {3072, 1024}} {
				for _, kernels := range Kernels()[1:] {
					b.Run(fmt.Sprintf("%v/%v/%dx%d/%s", sch, in.a, shape[0], shape[1], kernels), func(b *testing.B) {
						decode(b, shape[0], shape[1], sch, in, kernels)
					})
				}
			}
		}
	}
}

func decode(b *testing.B, n, k int64, sch quant.WeightScheme, in input, kernels string) {
	p, err := native.NewPool(2, "")
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	var all []*native.Matrix
	var memory [][]byte
	size := 0
	for size < 256<<20 {
		w := newWeight(b, rand.New(rand.NewPCG(1, 1)), n, k, sch, func() int32 { return int32(len(all)) % 7 })
		defer w.m.Close()
		if err := w.m.SetInput(in.a, in.scale); err != nil {
			b.Fatal(err)
		}
		d, err := w.m.Native(kernels, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		all, memory, size = append(all, d), append(memory, w.m.Bytes()), size+len(w.m.Bytes())
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
		took := time.Duration(0)
		for _, v := range memory {
			d, err := p.ReadMemory(v)
			if err != nil {
				b.Fatal(err)
			}
			took += d
		}
		read = min(read, took)
	}
	b.ReportMetric(float64(size)/best.Seconds()/1e9, "GB/s")
	b.ReportMetric(float64(size)/read.Seconds()/1e9, "read-GB/s")
	b.ReportMetric(100*read.Seconds()/best.Seconds(), "%read")
	b.ReportMetric(best.Seconds()*1e6/float64(len(all)), "us/product")
}
