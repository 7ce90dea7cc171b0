package calib

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
)

// Row is one layer of the report. Ratios of signal to noise are in dB.
type Row struct {
	Layer      string  `json:"layer"`
	Scheme     string  `json:"scheme"`
	Tokens     int64   `json:"tokens"`      // rows of the input that were seen
	Min        float32 `json:"min"`         // of the input
	Max        float32 `json:"max"`         //
	Percentile float32 `json:"percentile"`  // of |input|; 0 if its channels were rescaled
	Scale      float32 `json:"scale"`       // median over the (row, group)s of the weight
	InputScale float32 `json:"input_scale"` // 0 unless static
	InputSQNR  float64 `json:"input_sqnr"`  // of the static scale, on the histogram; 0 unless static

	SQNRBefore   float64 `json:"sqnr_before"`   // of the weight, rounded to nearest by the better of absmax/7.5 and signed max
	SQNRAfter    float64 `json:"sqnr_after"`    // of the weight, as it was fitted
	OutputBefore float64 `json:"output_before"` // the same two with every weight counted by its channel's second moment:
	OutputAfter  float64 `json:"output_after"`  // the layer's output, up to correlations between channels
	Output       float64 `json:"output"`        // after, of the layer's output itself; 0 unless its channels' products are known
	MaxErr       float64 `json:"max_err"`       // largest error of a weight
	Cosine       float64 `json:"cosine"`        // between the weight and its quantized form
	Clipped      float64 `json:"clipped"`       // share of weights that the fitted parameters clip, 0...1
}

// Damage is the ratio of signal to noise of the layer's output, as well as it is known: the lower, the worse.
func (r Row) Damage() float64 {
	if r.Output != 0 {
		return r.Output
	}
	return r.OutputAfter
}

// Report is the table of a calibration, in the order of the layers.
type Report struct {
	Percentile float64 `json:"percentile"` // which one, in percent
	Rows       []Row   `json:"rows"`
}

// measure fills in what concerns the weight w, with codes unless it is rounded to nearest. h is the mean Gram matrix of
// the inputs, or nil.
func (r *Row) measure(c *nn.Context, w []float32, moments []float64, h *ts.Tensor, sch Scheme, fitted quant.QParams, codes []byte) error {
	after, err := errorOf(w, moments, sch, fitted, codes)
	if err != nil {
		return err
	}
	r.Scale, r.SQNRAfter, r.OutputAfter = median(fitted.Scale), after.SQNR, after.output
	r.Clipped, r.MaxErr, r.Cosine = after.Clipped, after.MaxAbsErr, after.CosSim
	if h != nil {
		if r.Output, err = outputSQNR(c, w, after.residual, h, sch); err != nil {
			return err
		}
	}
	r.SQNRBefore = math.Inf(-1)
	for _, m := range nearestRules(sch.Weight) {
		p, codes, err := Nearest(w, sch.Out, sch.In, sch.Weight, m)
		if err != nil {
			return err
		}
		before, err := errorOf(w, moments, sch, p, codes)
		if err != nil {
			return err
		}
		if before.SQNR > r.SQNRBefore {
			r.SQNRBefore, r.OutputBefore = before.SQNR, before.output
		}
	}
	return nil
}

// outputSQNR is that of the layer's output over the rows whose mean Gram matrix is h.
func outputSQNR(c *nn.Context, w, residual []float32, h *ts.Tensor, sch Scheme) (float64, error) {
	signal, err := outputPower(c, c.FromFloats(w, sch.Out, sch.In), h)
	if err != nil {
		return 0, err
	}
	noise, err := outputPower(c, c.FromFloats(residual, sch.Out, sch.In), h)
	if err != nil || signal <= 0 {
		return 0, err
	}
	return decibels(signal, max(noise, 0)), nil
}

// nearestRules are the rules whose better one stands for round-to-nearest.
func nearestRules(sch quant.WeightScheme) []quant.ScaleMethod {
	if sch.Symmetric {
		return []quant.ScaleMethod{quant.SignedMax, quant.AbsMaxHalf}
	}
	return []quant.ScaleMethod{quant.MinMax}
}

// weightError is what quantization does to a weight.
type weightError struct {
	quant.ErrorStats
	output   float64   // the ratio with column k counted moments[k] times, in dB
	residual []float32 // w less its quantized form
}

// errorOf compares w with its quantized form: codes less the smallest, or, nil, those of rounding to nearest. Sums are
// float64, in order.
func errorOf(w []float32, moments []float64, sch Scheme, p quant.QParams, codes []byte) (e weightError, err error) {
	if err := p.Validate(sch.Weight, sch.Out, sch.In); err != nil {
		return e, err
	}
	if codes == nil {
		lw, _, err := latticeOf(w, sch.Out, sch.In, sch.Weight)
		if err != nil {
			return e, err
		}
		codes = make([]byte, len(w))
		kernels().Codes(lw, p.Scale, p.ZeroPoint, codes)
	}
	width, least := int64(len(w)/len(p.Scale)), float64(sch.Weight.QMin())
	y := make([]float32, len(w))
	var clipped int
	var signal, noise float64
	for u, scale := range p.Scale {
		zero := int32(0)
		if p.ZeroPoint != nil {
			zero = p.ZeroPoint[u]
		}
		from, to := least-float64(zero), float64(sch.Weight.QMax()-zero)
		for i := int64(u) * width; i < int64(u+1)*width; i++ {
			y[i] = float32(int32(codes[i])+int32(least)-zero) * scale
			v, d, h := float64(w[i]), float64(w[i])-float64(y[i]), moments[i%sch.In]
			signal += float64(h * v * v)
			noise += float64(h * d * d)
			if q := math.RoundToEven(float64(w[i] / scale)); q < from || q > to {
				clipped++
			}
		}
	}
	if e.ErrorStats, err = quant.CompareValues(w, y); err != nil {
		return e, err
	}
	for i := range y {
		y[i] = w[i] - y[i]
	}
	e.Clipped, e.output, e.residual = float64(clipped)/float64(len(w)), decibels(signal, noise), y
	return e, nil
}

// decibels is 10 log10(signal / noise), within ±quant.MaxSQNR.
func decibels(signal, noise float64) float64 {
	if noise == 0 {
		return quant.MaxSQNR
	}
	return min(max(10*math.Log10(signal/noise), -quant.MaxSQNR), quant.MaxSQNR)
}

// median is the middle value, the lower one of two.
func median(v []float32) float32 {
	s := slices.Sorted(slices.Values(v))
	return s[(len(s)-1)/2]
}

// columns of the table: a heading and a cell.
var columns = []struct {
	name string
	cell func(Row) string
}{
	{"layer", func(r Row) string { return r.Layer }},
	{"scheme", func(r Row) string { return r.Scheme }},
	{"tokens", func(r Row) string { return fmt.Sprint(r.Tokens) }},
	{"min", func(r Row) string { return short(r.Min) }},
	{"max", func(r Row) string { return short(r.Max) }},
	{"percentile", func(r Row) string { return short(r.Percentile) }},
	{"scale", func(r Row) string { return short(r.Scale) }},
	{"input_scale", func(r Row) string { return orDash(r.InputScale) }},
	{"sqnr_before", func(r Row) string { return fmt.Sprintf("%.2f", r.SQNRBefore) }},
	{"sqnr_after", func(r Row) string { return fmt.Sprintf("%.2f", r.SQNRAfter) }},
	{"output_before", func(r Row) string { return fmt.Sprintf("%.2f", r.OutputBefore) }},
	{"output_after", func(r Row) string { return fmt.Sprintf("%.2f", r.OutputAfter) }},
	{"output", func(r Row) string { return orNone(r.Output) }},
	{"max_err", func(r Row) string { return fmt.Sprintf("%.3g", r.MaxErr) }},
	{"cosine", func(r Row) string { return fmt.Sprintf("%.5f", r.Cosine) }},
	{"clipped_pct", func(r Row) string { return fmt.Sprintf("%.2f", 100*r.Clipped) }},
}

func short(v float32) string { return fmt.Sprintf("%.4g", v) }

func orDash(v float32) string {
	if v == 0 {
		return "-"
	}
	return short(v)
}

func orNone(db float64) string {
	if db == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", db)
}

// SortByDamage puts the layers whose output suffers most first.
func (r *Report) SortByDamage() {
	slices.SortStableFunc(r.Rows, func(a, b Row) int { return cmp.Compare(a.Damage(), b.Damage()) })
}

// Columns are the headings of Table.
func Columns() []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.name
	}
	return out
}

// Table is the report as cells, one row a layer, under Columns.
func (r *Report) Table() [][]string {
	out := make([][]string, len(r.Rows))
	for i, row := range r.Rows {
		for _, c := range columns {
			out[i] = append(out[i], c.cell(row))
		}
	}
	return out
}
