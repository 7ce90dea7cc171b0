package calib

import (
	"fmt"
	"math"
	"slices"

	"github.com/qakd/qakd/internal/native/lattice"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Fold is a place where a positive scale per channel can move between layers and leave the function as it is: what Readers
// read is divided by it, and their weights' columns are multiplied. What divides is either the gain of a norm, or the rows
// of the layer that writes those channels.
type Fold struct {
	Path    string // of the norm, or of the writer
	Readers []*nn.Slot
	Gain    *nn.Param // [In], or nil
	Writer  *nn.Slot  // whose row Row[k] is channel k of the readers; or nil
	Row     []int64
	Scale   []float32 // what Fit takes, where FitFolds has found it; nil: Fit finds it
}

// Folds are the places in a decoder: each norm before the layers that read it, up_proj before down_proj (the product with
// the gate lets a scale pass), and v_proj before o_proj, where query heads that share a value head share its scales. Where
// what is read is transformed first, as down_proj's rotated input is, no scale can pass.
func Folds(d *nn.Decoder) (out []Fold) {
	for _, b := range d.Blocks {
		up, down, v, o := b.MLP.GateUp[1], b.MLP.Down, b.Attn.QKV[2], b.Attn.O
		dim := b.Attn.QNorm.W.Shape[0]
		repeat := o.In / v.Out // query heads of a value head
		heads, inner := make([]int64, o.In), make([]int64, down.In)
		for i := range heads {
			heads[i] = int64(i)/dim/repeat*dim + int64(i)%dim
		}
		for i := range inner {
			inner[i] = int64(i)
		}
		out = append(out,
			Fold{Path: b.Path + ".input_layernorm", Gain: b.InputNorm.W, Readers: b.Attn.QKV},
			Fold{Path: v.Path, Writer: v, Row: heads, Readers: []*nn.Slot{o}},
			Fold{Path: b.Path + ".post_attention_layernorm", Gain: b.PostNorm.W, Readers: b.MLP.GateUp},
			Fold{Path: up.Path, Writer: up, Row: inner, Readers: []*nn.Slot{down}})
	}
	return slices.DeleteFunc(out, func(f Fold) bool {
		return slices.ContainsFunc(f.Readers, func(s *nn.Slot) bool { return s.Transform != nil })
	})
}

// Apply divides and multiplies the weights of a float model by scale [In], in place, in their own dtypes.
func (f Fold) Apply(scale []float32) error {
	if f.Gain != nil {
		if err := change(f.Gain, true, scale, len(scale)); err != nil {
			return fmt.Errorf("calib: fold %s: %w", f.Path, err)
		}
	}
	if f.Writer != nil {
		l, ok := f.Writer.P.(*nn.Linear)
		if !ok {
			return fmt.Errorf("calib: fold %s: it holds a %T, want a float layer", f.Path, f.Writer.P)
		}
		rows := f.rows(scale)
		if err := change(l.W, true, rows, len(rows), 1); err != nil {
			return fmt.Errorf("calib: fold %s: %w", f.Path, err)
		}
		if l.B != nil {
			if err := change(l.B, true, rows, len(rows)); err != nil {
				return fmt.Errorf("calib: fold %s: bias: %w", f.Path, err)
			}
		}
	}
	for _, r := range f.Readers {
		l, ok := r.P.(*nn.Linear)
		if !ok {
			return fmt.Errorf("calib: fold %s: %s holds a %T, want a float layer", f.Path, r.Path, r.P)
		}
		if err := change(l.W, false, scale, 1, len(scale)); err != nil {
			return fmt.Errorf("calib: fold %s: %s: %w", f.Path, r.Path, err)
		}
	}
	return nil
}

// change divides or multiplies a parameter in place by factors of the given shape.
func change(p *nn.Param, divide bool, factors []float32, shape ...int) error {
	if p.T == nil {
		return fmt.Errorf("%s is not loaded", p.Name)
	}
	dims := make([]int64, len(shape))
	for i, d := range shape {
		dims[i] = int64(d)
	}
	return replace(p, func(c *nn.Context) *ts.Tensor {
		by := c.ToDevice(c.FromFloats(factors, dims...), c.Device(p.T))
		if divide {
			return c.Div(c.To(p.T, gotch.Float), by)
		}
		return c.Mul(c.To(p.T, gotch.Float), by)
	})
}

// rows are the scales of the writer's rows, of those of the readers' channels; a row that is not read has 1.
func (f Fold) rows(scale []float32) []float32 {
	out := ones(f.Writer.Out)
	for k, r := range f.Row {
		out[r] = scale[k]
	}
	return out
}

// fit finds the scale by the configured rule, of what the layers read and the weights of those that are targeted.
func (f Fold) fit(stats *Statistics, schemes func(path string) (quant.WeightScheme, quant.ActivationScheme), cfg Config) ([]float32, error) {
	if f.Scale != nil {
		return f.Scale, nil
	}
	var seen *Layer
	var readers []*nn.Slot
	for _, r := range f.Readers {
		if w, _ := schemes(r.Path); w.Bits != 0 && stats.Layer(r.Path) != nil {
			seen, readers = stats.Layer(r.Path), append(readers, r)
		}
	}
	if seen == nil || cfg.Fold == FoldSmoothQuant && f.Gain == nil {
		return nil, nil
	}
	scale, err := smooth(seen, readers, cfg)
	if cfg.Fold == FoldAWQ {
		scale, err = f.awq(seen, readers, schemes, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("calib: fold %s: %w", f.Path, err)
	}
	if f.Gain == nil {
		return scale, nil
	}
	return f.settle(scale)
}

// smooth is SmoothQuant's scale (Xiao et al. 2022, equation 4): max |x_k|^a / max |w_k|^(1-a), 1 for channels without either.
func smooth(seen *Layer, readers []*nn.Slot, cfg Config) ([]float32, error) {
	peak, largest := seen.Peak(), make([]float64, seen.In)
	for _, r := range readers {
		w, err := weightOf(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Path, err)
		}
		for i, v := range w {
			largest[int64(i)%seen.In] = max(largest[int64(i)%seen.In], math.Abs(float64(v)))
		}
	}
	scale := ones(seen.In)
	for k := range scale {
		s := math.Pow(float64(peak[k]), cfg.FoldAlpha) / math.Pow(largest[k], 1-cfg.FoldAlpha)
		if s > 0 && !math.IsInf(s, 0) {
			scale[k] = float32(s)
		}
	}
	return scale, nil
}

// awq is the fold's scale by ScaleAWQ, of its readers' weights. Channels of one row of the writer have one scale.
func (f Fold) awq(seen *Layer, readers []*nn.Slot, schemes func(path string) (quant.WeightScheme, quant.ActivationScheme), cfg Config) (scale []float32, err error) {
	size := seen.Magnitude()
	if f.Writer != nil {
		sums, count := make([]float64, f.Writer.Out), make([]float64, f.Writer.Out)
		for k, r := range f.Row {
			sums[r], count[r] = sums[r]+size[k], count[r]+1
		}
		for k, r := range f.Row {
			size[k] = sums[r] / count[r]
		}
	}
	var weights []Weight
	for _, r := range readers {
		w, err := weightOf(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Path, err)
		}
		sch, _ := schemes(r.Path)
		weights = append(weights, Weight{w, r.Out, r.In, sch})
	}
	err = nn.Run(func(c *nn.Context) error {
		scale, err = ScaleAWQ(c, size, seen.Gram.mean(c, nil), weights, cfg)
		return err
	})
	return scale, err
}

// ScaleAWQ is AWQ's scale of channels [K] (Lin et al. 2023, "AWQ: Activation-aware Weight Quantization", equations 4 and 5) for
// weights that read one input: size^a, the mean |x_k| to a power, over the geometric mean of its ends, with the a of 0, 1/n,
// … (n-1)/n whose weights, rounded to nearest, lose least of their outputs. That error is the one over all rows whose mean
// Gram matrix is h [K, K], of FoldRows outputs of each weight, evenly spread: which a is best, they say as all would. They are
// rounded by the rule that cfg gives scales by, or by signed max where it searches for them. Silent channels keep 1.
func ScaleAWQ(c *nn.Context, size []float64, h *ts.Tensor, weights []Weight, cfg Config) ([]float32, error) {
	var samples []lattice.Weight
	var rules []quant.ScaleMethod
	for _, w := range weights {
		if w.Scheme.Granularity == quant.PerTensor {
			return nil, fmt.Errorf("calib: awq with scheme %v, want scales per channel or group", w.Scheme)
		}
		some, n := someRows(w.W, w.Out, w.In, int64(cfg.FoldRows))
		lw, _, err := latticeOf(some, n, w.In, w.Scheme)
		if err != nil {
			return nil, err
		}
		rule := nearestRules(w.Scheme)[0]
		if m := cfg.scales(); m.fixed() {
			rule = m.fixedRule(w.Scheme)
		}
		samples, rules = append(samples, lw), append(rules, rule)
	}
	best, least := ones(int64(len(size))), math.Inf(1)
	for i := range cfg.FoldPoints {
		scale := power(size, float64(i)/float64(cfg.FoldPoints))
		var loss float64
		for j, w := range samples {
			d := make([]float32, len(w.W))
			kernels().Residual(w, lattice.Rule(rules[j]), scale, d)
			var e float64
			var err error
			c.Nest(func(in *nn.Context) { e, err = outputPower(in, in.FromFloats(d, int64(len(d))/w.K, w.K), h) })
			if err != nil {
				return nil, err
			}
			loss += e
		}
		if loss < least {
			best, least = scale, loss
		}
	}
	return best, nil
}

// power is size^a over the geometric mean of its largest and its smallest, 1 where size is 0.
func power(size []float64, a float64) []float32 {
	lo, hi := math.Inf(1), 0.0
	for _, v := range size {
		if v > 0 {
			lo, hi = min(lo, math.Pow(v, a)), max(hi, math.Pow(v, a))
		}
	}
	out := ones(int64(len(size)))
	for k, v := range size {
		if v > 0 {
			out[k] = float32(math.Pow(v, a) / math.Sqrt(lo*hi))
		}
	}
	return out
}

// someRows are at most rows of w [n, k], evenly spread; 0 stands for all.
func someRows(w []float32, n, k, rows int64) ([]float32, int64) {
	if rows == 0 || rows >= n {
		return w, n
	}
	out := make([]float32, 0, rows*k)
	for i := range rows {
		at := i * n / rows * k
		out = append(out, w[at:at+k]...)
	}
	return slices.Clip(out), rows
}

// settle changes a scale so that the divided gain is a bfloat16 number, as checkpoints store it, and nothing is lost there.
func (f Fold) settle(scale []float32) (out []float32, err error) {
	err = nn.Run(func(c *nn.Context) error {
		gain, err := tensor.Floats(f.Gain.T)
		if err != nil {
			return err
		}
		divided := make([]float32, len(gain))
		for k := range gain {
			divided[k] = gain[k] / scale[k]
		}
		kept, err := tensor.Floats(c.To(c.FromFloats(divided, f.Gain.Shape...), gotch.BFloat16))
		if err != nil {
			return err
		}
		out = slices.Clone(scale)
		for k, g := range kept {
			if s := gain[k] / g; s > 0 && s-s == 0 {
				out[k] = s
			}
		}
		return nil
	})
	return out, err
}

func ones(n int64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}
