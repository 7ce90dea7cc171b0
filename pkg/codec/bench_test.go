package codec

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// published codec with random weights; it needs a gigabyte. go test -bench . -cpu 2 runs it on two threads.
func benchCodec(b *testing.B, dtype gotch.DType) *Codec {
	b.Helper()
	if err := tensor.SetThreads(runtime.GOMAXPROCS(0)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { tensor.SetThreads(1) })
	m, err := New(published(), Both)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	if err := nn.Init(m, 1, 0.5); err != nil {
		b.Fatal(err)
	}
	if err := nn.Copy(m, m, dtype); err != nil {
		b.Fatal(err)
	}
	m.DType = dtype
	return m
}

func perFrame(b *testing.B, frames int) {
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N*frames), "ms/frame")
}

var benchTypes = map[string]gotch.DType{"float32": gotch.Float, "bfloat16": gotch.BFloat16}

// BenchmarkDecode pushes 25 frames at a time, or one, through a stream.
func BenchmarkDecode(b *testing.B) {
	for name, dtype := range benchTypes {
		m := benchCodec(b, dtype)
		for _, n := range []int{25, 1} {
			b.Run(fmt.Sprintf("%s/frames=%d", name, n), func(b *testing.B) {
				s, err := m.NewStream()
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				codes := randomCodes(m, n)
				for b.Loop() {
					if _, err := s.Push(codes); err != nil {
						b.Fatal(err)
					}
				}
				perFrame(b, n)
			})
		}
		m.Close()
	}
}

// BenchmarkEncode encodes five seconds.
func BenchmarkEncode(b *testing.B) {
	for name, dtype := range benchTypes {
		m := benchCodec(b, dtype)
		wav := tones(5 * 24000)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := m.Encode(wav); err != nil {
					b.Fatal(err)
				}
			}
			perFrame(b, (len(wav)+1919)/1920)
		})
		m.Close()
	}
}
