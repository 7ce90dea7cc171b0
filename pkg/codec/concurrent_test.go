package codec

import (
	"sync"
	"testing"
)

// One codec serves several goroutines, each with streams of its own; a closed one refuses.
func TestConcurrent(t *testing.T) {
	m, err := Load(fixture("tiny-sharded"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var group sync.WaitGroup
	for n := range 6 {
		group.Go(func() {
			codes := randomCodes(m, 20+n)
			want := forward(t, m, codes)
			s, err := m.NewStream()
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			var got []float32
			for i := range codes {
				wav, err := s.Push(codes[i : i+1])
				if err != nil {
					t.Error(err)
					return
				}
				got = append(got, wav...)
			}
			wantClose(t, "stream", got, want, rounding)
			if _, err := m.Encode(tones(500 + n)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	s, err := m.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m.Close()
	if _, err := s.Push(randomCodes(m, 1)); err == nil {
		t.Error("a stream of a closed codec takes codes")
	}
	if _, err := m.Decode(randomCodes(m, 1)); err == nil {
		t.Error("a closed codec decodes")
	}
	if _, err := m.Encode(tones(100)); err == nil {
		t.Error("a closed codec encodes")
	}
}
