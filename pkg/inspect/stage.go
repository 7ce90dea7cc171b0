package inspect

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
)

// Stage is one tensor on the way.
type Stage struct {
	Name      string  `json:"name"`
	Shape     []int64 `json:"shape"` // padding included
	Mean      float64 `json:"mean"`  // of the finite values of real rows, as the other numbers
	Std       float64 `json:"std"`
	AbsMax    float64 `json:"absmax"`
	NotFinite int     `json:"not_finite"` // NaN or infinite
}

// summarize sums in float64, around the mean.
func summarize(x []float32) (s Stage) {
	n := 0.0
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	for _, v := range x {
		if v := float64(v); finite(v) {
			s.Mean, s.AbsMax, n = s.Mean+v, max(s.AbsMax, math.Abs(v)), n+1
		} else {
			s.NotFinite++
		}
	}
	if n == 0 {
		return s
	}
	s.Mean /= n
	for _, v := range x {
		if v := float64(v); finite(v) {
			s.Std += (v - s.Mean) * (v - s.Mean)
		}
	}
	s.Std = math.Sqrt(s.Std / n)
	return s
}

// topCodes is how many codes a codebook shows.
const topCodes = 3

// Codebook is what one head says about the batch's codes.
type Codebook struct {
	Codebook  int     `json:"codebook"`
	Events    int     `json:"events"`    // codes; with the ends for codebook 0
	NLL       float64 `json:"nll"`       // mean of -log p of the true code, nats
	Agreement float64 `json:"agreement"` // share whose most probable id is the true code, 0…1
	First     []Code  `json:"first"`     // the most probable ids of the first event
	Label     int64   `json:"label"`     // its true code
}

// Code is an id with its probability.
type Code struct {
	ID int     `json:"id"`
	P  float64 `json:"p"`
}

// codebook scores log-probabilities [len(labels) · width].
func codebook(g int, logp []float32, width int, labels []int64) Codebook {
	out := Codebook{Codebook: g, Events: len(labels), Label: labels[0]}
	for i, label := range labels {
		row := logp[i*width : (i+1)*width]
		best := top(row, topCodes)
		if i == 0 {
			out.First = best
		}
		if int64(best[0].ID) == label {
			out.Agreement += 1 / float64(len(labels))
		}
		out.NLL -= float64(row[label]) / float64(len(labels))
	}
	return out
}

// top are the n most probable ids, the lower one first among equals.
func top(logp []float32, n int) []Code {
	ids := make([]int, len(logp))
	for i := range ids {
		ids[i] = i
	}
	slices.SortStableFunc(ids, func(a, b int) int {
		switch {
		case logp[a] > logp[b]:
			return -1
		case logp[a] < logp[b]:
			return 1
		}
		return 0
	})
	var out []Code
	for _, id := range ids[:min(n, len(ids))] {
		out = append(out, Code{id, math.Exp(float64(logp[id]))})
	}
	return out
}

// suppressedMass is the mean probability of the ids that decoding never draws.
func suppressedMass(t *talker.TalkerConfig, logp []float32) float64 {
	sum, width := 0.0, int(t.Vocab)
	for i, v := range logp {
		if t.Suppressed(int64(i % width)) {
			sum += math.Exp(float64(v))
		}
	}
	return sum / float64(len(logp)/width)
}

func (f *Forward) codeTable() *report.Table {
	t := &report.Table{
		Title:   fmt.Sprintf("codes; ids that decoding never draws have a probability of %s in the mean", report.Significant(f.SuppressedMass, 3)),
		Columns: []string{"codebook", "events", "nats", "agreement", "first: true", "most probable"},
	}
	for _, x := range f.Codes {
		var best []string
		for _, code := range x.First {
			best = append(best, fmt.Sprintf("%d (%.3f)", code.ID, code.P))
		}
		t.Add(x.Codebook, x.Events, x.NLL, x.Agreement, x.Label, strings.Join(best, " "))
	}
	return t
}
