package parity

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sugarme/gotch/ts"
)

// Check is the comparison of one tensor.
type Check struct {
	File      string  `json:"file"`
	Name      string  `json:"name"`
	MaxAbsErr float64 `json:"max_abs_err"` // over the compared elements; the largest float64 when it is no number
	ATol      float64 `json:"atol"`
	RTol      float64 `json:"rtol"`
	Pass      bool    `json:"pass"`
	Share     float64 `json:"share_of_tolerance"` // largest error / tolerance of its element; 0 for exact ones that are equal
	StdErr    float64 `json:"err_in_std"`         // MaxAbsErr / standard deviation of the golden
	Problem   string  `json:"problem,omitempty"`  // why there was nothing to compare
}

// computed is a value of ours, with the elements that count.
type computed struct {
	shape  []int64
	values []float64
	only   []bool // elements that are compared; nil for all
	err    error  // why there is no value
}

// Comparison rules that the manifest may state; a rule that is not known here must not be passed over.
var rules = []string{"attention_mask==1", "below 1e-6"}

// check holds got against the golden of e.
func (f *fixture) check(e entry, got computed) Check {
	c := Check{File: e.File, Name: e.Name, ATol: e.Tolerance.ATol, RTol: e.Tolerance.RTol}
	g, ok := f.values[[2]string{e.File, e.Name}]
	want, err := g.floats()
	known := e.Compare == "" || slices.ContainsFunc(rules, func(r string) bool { return strings.Contains(e.Compare, r) })
	switch {
	case !ok:
		c.fail("the manifest has it, the file has not")
	case err != nil:
		c.fail(err.Error())
	case got.err != nil:
		c.fail(got.err.Error())
	case !known:
		c.fail(fmt.Sprintf("comparison rule %q is not known", e.Compare))
	case e.Compare != "" && got.only == nil:
		c.fail(fmt.Sprintf("comparison rule %q does not fit the tensor", e.Compare))
	case !slices.Equal(got.shape, g.info.Shape):
		c.fail(fmt.Sprintf("shape %v, want %v", got.shape, g.info.Shape))
	default:
		c.measure(got, want, e.Tolerance.Exact)
	}
	return c
}

func (c *Check) fail(why string) {
	c.Pass, c.Problem, c.MaxAbsErr, c.Share = false, why, math.MaxFloat64, math.MaxFloat64
}

func (c *Check) measure(got computed, want []float64, exact bool) {
	c.Pass = true
	compared := 0
	for i, w := range want {
		if got.only != nil && !got.only[i] {
			continue
		}
		compared++
		d := math.Abs(got.values[i] - w)
		if got.values[i] == w { // also equal infinities
			d = 0
		}
		if math.IsNaN(d) || math.IsInf(d, 0) {
			d = math.MaxFloat64
		}
		limit := c.ATol + c.RTol*math.Abs(w)
		c.MaxAbsErr = max(c.MaxAbsErr, d)
		if d > 0 {
			c.Share = max(c.Share, min(d/limit, math.MaxFloat64))
		}
		c.Pass = c.Pass && (d == 0 || !exact && d <= limit)
	}
	if compared == 0 && len(want) > 0 {
		c.fail("no element is compared")
		return
	}
	if s := deviation(want); s > 0 {
		c.StdErr = min(c.MaxAbsErr/s, math.MaxFloat64)
	}
}

// deviation is the standard deviation.
func deviation(v []float64) float64 {
	mean, sq := 0.0, 0.0
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		sq += (x - mean) * (x - mean) / float64(len(v))
	}
	return math.Sqrt(sq)
}

// results collects what a section computes.
type results map[string]computed

func (r results) put(name string, t *ts.Tensor) { r.putOnly(name, t, nil) }

func (r results) putOnly(name string, t *ts.Tensor, only []bool) {
	v, err := doubles(t)
	if err != nil {
		r[name] = computed{err: err}
		return
	}
	shape, err := t.Size()
	r[name] = computed{shape: shape, values: v, only: only, err: err}
}

func (r results) putInts(name string, v []int64, shape ...int64) {
	r[name] = computed{shape: shape, values: widen(v)}
}
