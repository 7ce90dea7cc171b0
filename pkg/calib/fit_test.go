package calib_test

import (
	"cmp"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
)

func w4a4(string) (quant.WeightScheme, quant.ActivationScheme) {
	return quant.DefaultWeightScheme(), a4
}

func asymmetric(string) (quant.WeightScheme, quant.ActivationScheme) {
	return quant.WeightScheme{Bits: 4, Granularity: quant.PerGroup, GroupSize: 32}, quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}
}

func fit(t *testing.T, m *nn.MLP, s *calib.Statistics, sch func(string) (quant.WeightScheme, quant.ActivationScheme), cfg calib.Config) *calib.Result {
	t.Helper()
	r, err := calib.Fit(s, nn.Slots(m), sch, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The measured error of the layers' outputs, on other data of the same kind, falls with the weighting.
func TestWeightingLowersTheOutputError(t *testing.T) {
	m := load(t)
	s := collect(t, m, config(), inputs(7, 4, 50), inputs(8, 4, 50))
	held := inputs(9, 1, 300)
	errorOf := func(weighting calib.Weighting, method calib.WeightMethod) (noise float64) {
		cfg := config()
		cfg.Weighting, cfg.WeightMethod = weighting, method
		r := fit(t, m, s, w4a4, cfg)
		err := nn.Run(func(c *nn.Context) error {
			x := c.FromFloats(held.x, 300, width)
			for _, slot := range m.GateUp {
				p := r.Weights[slot.Path]
				wq := quant.FakeQuantizeWeight(c.Scope, slot.P.Weight(c), c.FromFloats(p.Scale, p.Rows, p.Groups), nil, quant.DefaultWeightScheme())
				d := c.Sub(slot.P.Forward(c, x), c.Linear(x, wq, nil))
				mse, err := tensor.Scalar(c.Mean(c.Square(d)))
				if err != nil {
					return err
				}
				noise += mse
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return noise
	}
	rule := errorOf(calib.WeightNone, calib.AbsMaxHalf)
	plain := errorOf(calib.WeightNone, calib.SearchMSE)
	weighted := errorOf(calib.WeightSecondMoment, calib.SearchMSE)
	t.Logf("mean squared output error: absmax/7.5 %.4g, search %.4g, weighted search %.4g", rule, plain, weighted)
	if weighted > 0.9*plain || plain > rule {
		t.Errorf("output error %.4g weighted, %.4g plain, %.4g by rule; want at least 10 %% less by weighting", weighted, plain, rule)
	}
}

// Every method and observer, on every scheme: valid parameters; the rules are package quant's.
func TestFitMethods(t *testing.T) {
	m := load(t)
	gram := config()
	gram.WeightMethod = calib.RoundGPTQ
	s := collect(t, m, gram, inputs(10, 2, 20))
	defer s.Close()
	slot := nn.Slots(m)[2]
	rules := map[calib.WeightMethod]quant.ScaleMethod{
		calib.AbsMax: quant.AbsMax, calib.AbsMaxHalf: quant.AbsMaxHalf, calib.SignedMax: quant.SignedMax,
	}
	for _, method := range []calib.WeightMethod{
		calib.AbsMax, calib.AbsMaxHalf, calib.SignedMax, calib.SearchMSE, calib.FitHQQ, calib.RoundGPTQ, calib.RoundAuto,
	} {
		for _, sch := range []func(string) (quant.WeightScheme, quant.ActivationScheme){w4a4, asymmetric} {
			weight, _ := sch("")
			cfg := config()
			if cfg.WeightMethod = method; cfg.Suits(weight) != nil {
				continue
			}
			r := fit(t, m, s, sch, cfg)
			if err := r.Weights[slot.Path].Validate(weight, width, inner); err != nil {
				t.Errorf("%s: %v", method, err)
			}
			if cfg.RoundsCodes() != (len(r.Codes) == len(nn.Slots(m))) {
				t.Errorf("%s: codes of %d layers", method, len(r.Codes))
			}
			rule, fixed := rules[method]
			if !fixed {
				continue
			}
			if !weight.Symmetric {
				rule = quant.MinMax
			}
			for _, slot := range nn.Slots(m) {
				w, err := tensor.Floats(slot.P.(*nn.Linear).W.T)
				if err != nil {
					t.Fatal(err)
				}
				want, err := quant.InitQParams(w, slot.Out, slot.In, weight, rule)
				if err != nil || !reflect.DeepEqual(r.Weights[slot.Path], want) {
					t.Errorf("%s: %s has not the parameters of %v (%v)", method, slot.Path, rule, err)
				}
			}
		}
	}
	for _, kind := range []calib.ObserverKind{
		calib.ObserveMinMax, calib.ObserveMovingAverage, calib.ObservePercentile, calib.ObserveMSE, calib.ObserveEntropy,
	} {
		cfg := config()
		cfg.Observer = kind
		r := fit(t, m, s, w4a4, cfg)
		l := s.Layer(slot.Path)
		top := max(-l.Range.Min, l.Range.Max) / 7
		if v := r.Inputs[slot.Path]; !quant.OnGrid(v) || v > quant.RoundScale(top) || v < top/50 {
			t.Errorf("%s: input scale %v for magnitudes up to %v", kind, v, 7*top)
		}
		if len(fit(t, m, s, asymmetric, cfg).Inputs) != 0 {
			t.Errorf("%s: static scales for dynamic inputs", kind)
		}
	}
}

// The same from one thread as from two, and twice the same.
func TestFitIsDeterministic(t *testing.T) {
	m := load(t)
	s := collect(t, m, config(), inputs(14, 2, 20))
	one := fit(t, m, s, asymmetric, config())
	if err := tensor.SetThreads(2); err != nil {
		t.Fatal(err)
	}
	defer tensor.SetThreads(1)
	two := fit(t, m, collect(t, m, config(), inputs(14, 2, 20)), asymmetric, config())
	if !reflect.DeepEqual(one, two) {
		t.Error("two calibrations of the same data differ")
	}
}

func TestReport(t *testing.T) {
	m := load(t)
	s := collect(t, m, config(), inputs(11, 2, 20))
	r := fit(t, m, s, w4a4, config()).Report
	for i, row := range r.Rows {
		l := s.Layers[i]
		if row.Layer != l.Path || row.Tokens != 40 || row.Min != l.Range.Min || row.Max != l.Range.Max || row.Percentile != l.Values.AbsPercentile(99.99) {
			t.Errorf("row %+v does not show %s", row, l.Path)
		}
		if row.OutputAfter < row.OutputBefore || row.SQNRAfter < 15 || row.SQNRBefore < 15 || row.Clipped < 0 || row.Clipped > 0.3 || row.InputSQNR < 5 {
			t.Errorf("%s: %+v", row.Layer, row)
		}
	}
	r.SortByDamage()
	if !slices.IsSortedFunc(r.Rows, func(a, b calib.Row) int { return cmp.Compare(a.Damage(), b.Damage()) }) {
		t.Errorf("not sorted by damage: %+v", r.Rows)
	}
	for _, cells := range r.Table() {
		if len(cells) != len(calib.Columns()) || slices.Contains(cells, "") {
			t.Errorf("cells %q", cells)
		}
	}
}

func TestFitErrors(t *testing.T) {
	m := load(t)
	s := collect(t, m, config(), inputs(12, 2, 20))
	other := nn.NewMLP("other.mlp", width, inner)
	g64 := func(string) (quant.WeightScheme, quant.ActivationScheme) {
		return quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 64}, quant.ActivationScheme{}
	}
	check := func(name string, err error, want ...string) {
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error %v, want one with %q", name, err, w)
			}
		}
	}
	_, err := calib.Fit(s, append(nn.Slots(m), nn.Slots(other)...), w4a4, config())
	check("no statistics", err, "3 of 6 layers", "other.mlp.down_proj (0)")
	_, err = calib.Fit(s, nil, w4a4, config())
	check("no layer", err, "no layer")
	_, err = calib.Fit(s, nn.Slots(m), g64, config())
	check("group size", err, "model.mlp.down_proj", "group_size 64", "96")
	w := m.Down.P.(*nn.Linear).W
	err = nn.Run(func(c *nn.Context) error {
		first := c.FromBools(append([]bool{true}, make([]bool, width*inner-1)...), width, inner)
		w.Set(c.Release(c.MaskedFill(w.T, first, math.NaN())))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = calib.Fit(s, nn.Slots(m), w4a4, config())
	check("nan", err, "model.mlp.down_proj", "[0, 0] is NaN")
}

func TestFile(t *testing.T) {
	m := load(t)
	s := collect(t, m, config(), inputs(13, 2, 20))
	for name, sch := range map[string]func(string) (quant.WeightScheme, quant.ActivationScheme){"static": w4a4, "asymmetric": asymmetric} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, again := filepath.Join(dir, calib.FileName), filepath.Join(dir, "again.safetensors")
			r := fit(t, m, s, sch, config())
			from := calib.Origin{Model: "0123456789abcdef", Data: "fedcba9876543210"}
			if err := r.Save(path, from); err != nil {
				t.Fatal(err)
			}
			got, err := calib.Load(path, from)
			if err != nil || !reflect.DeepEqual(got, r) {
				t.Fatalf("loaded something else: %v\n%+v\n%+v", err, got, r)
			}
			if got, err = calib.Load(path, calib.Origin{}); err != nil {
				t.Fatal(err)
			}
			if err := got.Save(again, from); err != nil {
				t.Fatal(err)
			}
			one, err1 := fsx.SHA256(path)
			two, err2 := fsx.SHA256(again)
			if err1 != nil || err2 != nil || one != two {
				t.Errorf("saved twice: %s and %s (%v, %v)", one, two, err1, err2)
			}
			_, err = calib.Load(path, calib.Origin{Model: "0123456789abcdef", Data: "0000"})
			if err == nil || !strings.Contains(err.Error(), "made from data fedcba987654, want 0000") {
				t.Errorf("error %v, want one about the data", err)
			}
		})
	}
}
