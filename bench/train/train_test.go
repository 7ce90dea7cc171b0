package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/report"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func TestMain(m *testing.M) {
	if err := tensor.SetThreads(1); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// small has rows for two chunks, the second not full.
var small = shape{hidden: 32, layers: 2, inner: 64, heads: 4, kvHeads: 2, headDim: 8, vocab: 50, batch: 3, length: 60}

func student(t *testing.T) *model {
	t.Helper()
	m, err := newModel(small, gotch.Float, 1, variant{dtype: gotch.Float, group: 32}.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nn.Close(m) })
	return m
}

func taught(t *testing.T, cached bool) *lesson {
	t.Helper()
	l, err := newLesson(small, gotch.Float, cached)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

// gradients are the loss of a step and the gradients of all parameters, which are then dropped.
func gradients(t *testing.T, m *model, pass func(c *nn.Context) (*ts.Tensor, error)) (loss float64, grads [][]float32) {
	t.Helper()
	err := nn.Run(func(c *nn.Context) error {
		l, err := pass(c)
		if err != nil {
			return err
		}
		if loss, err = tensor.Scalar(c.Detach(l)); err != nil {
			return err
		}
		for _, p := range nn.Params(m) {
			g, err := tensor.Floats(c.Gradient(p.T))
			if err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			grads = append(grads, g)
		}
		return nil
	})
	if err == nil {
		err = m.dropGradients()
	}
	if err != nil {
		t.Fatal(err)
	}
	return loss, grads
}

// Chunks of rows give the loss and the gradients of all rows at once.
func TestChunksEqualTheWhole(t *testing.T) {
	m, l := student(t), taught(t, false)
	loss, got := gradients(t, m, func(c *nn.Context) (*ts.Tensor, error) { return m.distill(c, l) })
	whole, want := gradients(t, m, func(c *nn.Context) (*ts.Tensor, error) {
		rows := small.batch * small.length
		x, y := m.batch(c)
		h := m.hidden(c, x)
		all := c.DivScalar(distance(c, l.rows(c, l.states(c, x), 0, rows), m.logits(c, h), y), float64(rows))
		return all, tensor.Backward(all)
	})
	if math.Abs(loss-whole) > 1e-6*whole {
		t.Errorf("loss %v, want %v", loss, whole)
	}
	for i, p := range nn.Params(m) {
		if d := distanceOf(got[i], want[i]); d > 1e-5 {
			t.Errorf("%s: gradients differ by %.2g of their length", p.Name, d)
		}
	}
}

// distanceOf is ‖a-b‖ / ‖b‖.
func distanceOf(a, b []float32) float64 {
	d, n := 0.0, 0.0
	for i := range b {
		d, n = d+math.Pow(float64(a[i]-b[i]), 2), n+math.Pow(float64(b[i]), 2)
	}
	return math.Sqrt(d / n)
}

// What the teacher said once teaches what it says now; with the student's own weights KL is nothing, and cross entropy is left.
func TestLessons(t *testing.T) {
	m := student(t)
	_, live, err := m.follow(taught(t, false))
	if err != nil {
		t.Fatal(err)
	}
	_, kept, err := m.follow(taught(t, true))
	if err != nil {
		t.Fatal(err)
	}
	_, own, err := m.follow(&lesson{teacher: m})
	if err != nil {
		t.Fatal(err)
	}
	_, plain, err := m.step()
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(live-kept) > 1e-4 || live < plain+0.01 || math.Abs(own-plain) > 1e-5 {
		t.Errorf("losses: live %v, kept %v, of itself %v, cross entropy %v", live, kept, own, plain)
	}
}

// Parts alone take time both ways, and leave no gradient to the step.
func TestParts(t *testing.T) {
	m := student(t)
	for name, f := range map[string]func() (cost, error){
		"projections": m.projections, "attention": m.attention, "gates": m.gates, "norms": m.norms, "ending": m.ending,
	} {
		c, err := f()
		if err != nil || !(c.forward > 0 && c.backward > 0) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	for _, p := range nn.Params(m) {
		err := tensor.Run(func(s *tensor.Scope) error {
			if s.Gradient(p.T) != nil {
				t.Errorf("%s: a gradient is left", p.Name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Only what missed is profiled, and each name once.
func TestProfiles(t *testing.T) {
	asked := 0
	p := func(name string) profile {
		return profile{name, func(context.Context, float64) (*report.Table, error) { asked++; return &report.Table{}, nil }}
	}
	list := []race{{profile: p("a")}, {profile: p("b")}, {profile: p("b")}, {}}
	tables, err := profiles(context.Background(), list, []contest.Row{{Reached: true}, {}, {}, {}})
	if err != nil || len(tables) != 1 || asked != 1 || !strings.HasSuffix(tables[0].Title, ": b") {
		t.Errorf("%d tables, asked %d times, %v", len(tables), asked, err)
	}
}

// A profile has every part that the variant has, and its sum is the step.
func TestStepProfile(t *testing.T) {
	g := &garage{shape: small, models: map[variant]*model{}, lessons: map[teaching]*lesson{}}
	defer func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	}()
	for v, want := range map[variant]int{
		{dtype: gotch.BFloat16}:                                           1 + 4 + 2,
		{dtype: gotch.Float, group: 32, integer: true}:                    4 + 4 + 2,
		{dtype: gotch.Float, group: 32, bf16Back: true, lesson: withBF16}: 4 + 4 + 1 + 2,
		{dtype: gotch.Float, group: 32, lesson: fromF32Logits}:            3 + 4 + 2,
	} {
		table, err := g.profile(v).table(t.Context(), 1)
		if err != nil || len(table.Rows) != want {
			t.Fatalf("%v: %v, %v, want %d rows", v, table, err, want)
		}
		sum := 0.0
		for _, r := range table.Rows {
			var ms float64
			if _, err := fmt.Sscan(r[3], &ms); err != nil {
				t.Fatal(err)
			}
			sum += ms
		}
		var step float64
		if _, err := fmt.Sscan(table.Rows[want-1][3], &step); err != nil || math.Abs(sum-2*step) > 1 {
			t.Errorf("%v: parts and step are %v, want twice %v (%v)", v, sum, step, err)
		}
	}
}

// Bytes, speed and time of an optimizer's profile belong together.
func TestOptimizerProfile(t *testing.T) {
	o := options{params: 20, threads: 1}
	table, err := o.profile("x", 28, func(s *shelf) error { return s.coded.Apply(1, 1) }).table(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	var v [7]float64
	for i, r := range table.Rows {
		if _, err := fmt.Sscan(r[1], &v[i]); err != nil {
			t.Fatal(err)
		}
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 0.1*b }
	if !near(v[1], 0.56) || !near(v[2]*v[3], 1000*v[1]) || !(v[4] > 0) || v[5] != 10 || !near(v[6], 56) {
		t.Errorf("%v", table.Rows)
	}
}

// Rows and variants have names of their own.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range (&garage{}).races(true) {
		if seen[r.Name] || strings.Contains(r.Name, "%!") {
			t.Errorf("row %q", r.Name)
		}
		seen[r.Name] = true
	}
	v := variant{dtype: gotch.Float, group: 128, integer: true, bf16Back: true, lesson: withBF16}
	if got, want := v.String(), "integer KD + W4A8 step g128, f32, bf16 backward, bf16 teacher"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if n := len(v.ladder()); n != 5 || v.ladder()[4].v != (variant{dtype: gotch.Float, group: 128, integer: true, bf16Back: true}) {
		t.Errorf("ladder %v", v.ladder())
	}
}
