package data_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/qakd/qakd/pkg/data"
)

// list is n utterances of 1 + (7i mod 23) frames.
func list(n int) data.List {
	l := make(data.List, n)
	for i := range l {
		l[i] = data.Utterance{ID: fmt.Sprint(i), Text: []int32{1}, Codes: make([][]int32, 1+7*i%23)}
	}
	return l
}

func ids(b []data.Utterance) []string {
	out := make([]string, len(b))
	for i, u := range b {
		out[i] = u.ID
	}
	return out
}

func sampler(t *testing.T, n int, cfg data.SamplerConfig) *data.Sampler {
	t.Helper()
	s, err := data.NewSampler(list(n), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEpochIsAPermutation(t *testing.T) {
	for _, window := range []int{0, 3} {
		s := sampler(t, 50, data.SamplerConfig{BatchSize: 8, Seed: 3, Shuffle: true, Window: window})
		if s.PerEpoch() != 7 {
			t.Fatalf("%d batches per epoch, want 7", s.PerEpoch())
		}
		var orders [2][]string
		for e := range orders {
			for range s.PerEpoch() {
				b, err := s.Next()
				if err != nil {
					t.Fatal(err)
				}
				orders[e] = append(orders[e], ids(b)...)
			}
			sorted := slices.Sorted(slices.Values(orders[e]))
			if want := slices.Sorted(slices.Values(ids(list(50)))); !slices.Equal(sorted, want) {
				t.Errorf("window %d, epoch %d: not a permutation: %v", window, e, orders[e])
			}
		}
		if slices.Equal(orders[0], orders[1]) {
			t.Errorf("window %d: two epochs in one order", window)
		}
	}
}

// A batch depends on its index alone: asked out of order, after a Seek, by another sampler.
func TestBatchIsAFunctionOfItsIndex(t *testing.T) {
	cfg := data.SamplerConfig{BatchSize: 4, Seed: 9, Shuffle: true, Window: 2}
	s, other := sampler(t, 21, cfg), sampler(t, 21, cfg)
	var want [][]string
	for range 15 {
		b, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, ids(b))
	}
	if s.Position() != 15 {
		t.Errorf("position %d after 15 batches", s.Position())
	}
	for _, i := range []int{14, 0, 7, 6, 13, 1} {
		if err := other.Seek(i); err != nil {
			t.Fatal(err)
		}
		b, err := other.Next()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want[i], ids(b)); d != "" {
			t.Errorf("batch %d: %s", i, d)
		}
	}
	cfg.Seed++
	if b, err := sampler(t, 21, cfg).Batch(0); err != nil || slices.Equal(ids(b), want[0]) {
		t.Errorf("another seed: batch %v, error %v; want another batch", ids(b), err)
	}
}

// byEpoch says in its texts which epoch was asked for.
type byEpoch struct{ data.List }

func (s byEpoch) In(epoch, i int) (data.Utterance, error) {
	u, err := s.At(i)
	u.Text = make([]int32, 1+epoch)
	return u, err
}

// A set of epochs is asked for the epoch that the batch belongs to, also for the lengths that windows sort by.
func TestEpochs(t *testing.T) {
	for _, window := range []int{0, 3} {
		s, err := data.NewSampler(byEpoch{list(10)}, data.SamplerConfig{BatchSize: 4, Seed: 1, Shuffle: true, Window: window})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range []int{7, 0, 4, 2, 3} { // 3 batches an epoch
			b, err := s.Batch(i)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range b {
				if len(u.Text) != 1+i/3 {
					t.Errorf("window %d, batch %d: utterance %s is of epoch %d, want %d", window, i, u.ID, len(u.Text)-1, i/3)
				}
			}
		}
	}
}

func TestUnshuffledKeepsOrder(t *testing.T) {
	b, err := sampler(t, 5, data.SamplerConfig{BatchSize: 3}).Batch(3)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"3", "4"}, ids(b)); d != "" { // batch 3 is the second one of epoch 1
		t.Error(d)
	}
}

// Sorting in windows is there to save padding: it must save some.
func TestWindowSavesPadding(t *testing.T) {
	padded := func(window int) int {
		s := sampler(t, 160, data.SamplerConfig{BatchSize: 8, Seed: 1, Shuffle: true, Window: window})
		total := 0
		for range s.PerEpoch() {
			b, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			longest := 0
			for _, u := range b {
				longest = max(longest, u.Frames())
			}
			total += longest * len(b)
		}
		return total
	}
	if plain, sorted := padded(0), padded(5); sorted >= plain*8/10 {
		t.Errorf("%d padded rows with windows of 5, %d without; want at most 80 %%", sorted, plain)
	}
}

func TestSamplerRefuses(t *testing.T) {
	_, err := data.NewSampler(list(1), data.SamplerConfig{BatchSize: 0, Window: 2})
	want := "data: batch_size is 0, want at least 1\nwindow is 2, want 0 without shuffle"
	if err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	s := sampler(t, 3, data.DefaultSamplerConfig())
	if err := s.Seek(-1); err == nil {
		t.Error("Seek(-1) is no error")
	}
	if _, err := s.Batch(-1); err == nil {
		t.Error("Batch(-1) is no error")
	}
	if _, err := list(3).At(3); err == nil {
		t.Error("At(3) of 3 is no error")
	}
}
