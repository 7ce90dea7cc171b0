package prepare

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/qakd/qakd/pkg/report"
)

// Summary is what became of a file.
type Summary struct {
	Utterances int     `json:"utterances"`
	Frames     int     `json:"frames"`
	Seconds    float64 `json:"seconds"`
	Shortest   float64 `json:"shortest_s"`
	Median     float64 `json:"median_s"`
	Mean       float64 `json:"mean_s"`
	Longest    float64 `json:"longest_s"`
	Skipped    []Skip  `json:"skipped"`
}

func summarize(frames []int, skipped []Skip, frame time.Duration) *Summary {
	s := &Summary{Utterances: len(frames), Skipped: append([]Skip{}, skipped...)}
	if len(frames) == 0 {
		return s
	}
	frames = slices.Sorted(slices.Values(frames))
	for _, n := range frames {
		s.Frames += n
	}
	seconds := func(frames float64) float64 { return frames * frame.Seconds() }
	n := len(frames)
	s.Seconds, s.Mean = seconds(float64(s.Frames)), seconds(float64(s.Frames)/float64(n))
	s.Shortest, s.Longest = seconds(float64(frames[0])), seconds(float64(frames[n-1]))
	s.Median = seconds(float64(frames[(n-1)/2]+frames[n/2]) / 2)
	return s
}

// Durations is the table of how long the utterances last.
func (s *Summary) Durations() *report.Table {
	t := &report.Table{Title: "prepared", Columns: []string{"utterances", "frames", "total s", "shortest s", "median s", "mean s", "longest s", "skipped"}}
	t.Add(s.Utterances, s.Frames, s.Seconds, s.Shortest, s.Median, s.Mean, s.Longest, len(s.Skipped))
	return t
}

// particular is what differs between reasons of one kind: quoted names, paths, numbers.
var particular = regexp.MustCompile(`"[^"]*"|\S*/\S*|\S+\.wav|\d+(\.\d+)?(m?s\b)?`)

// Reasons is the table of what was skipped and why: reasons of one kind in one line, with how many there were and the
// first of them. nil when nothing was skipped.
func (s *Summary) Reasons() *report.Table {
	if len(s.Skipped) == 0 {
		return nil
	}
	type kind struct {
		first Skip
		n     int
	}
	var kinds []*kind
	of := map[string]*kind{}
	for _, skip := range s.Skipped {
		key := particular.ReplaceAllString(skip.Reason, "…")
		k := of[key]
		if k == nil {
			k = &kind{first: skip}
			of[key], kinds = k, append(kinds, k)
		}
		k.n++
	}
	slices.SortStableFunc(kinds, func(a, b *kind) int { return cmp.Compare(b.n, a.n) })
	t := &report.Table{Title: "skipped", Columns: []string{"rows", "first", "reason"}}
	for _, k := range kinds {
		t.Add(k.n, k.first.ID, k.first.Reason)
	}
	return t
}

// String is the summary in one line.
func (s *Summary) String() string {
	return fmt.Sprintf("%d utterances, %.1f s; %d rows skipped", s.Utterances, s.Seconds, len(s.Skipped))
}
