package calib

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/quant"
)

// Row is one layer of the report. Ratios of signal to noise are in dB.
type Row struct {
	Layer      string  `json:"layer"`
	Scheme     string  `json:"scheme"`
	Tokens     int64   `json:"tokens"`      // rows of the input that were seen
	Min        float32 `json:"min"`         // of the input
	Max        float32 `json:"max"`         //
	Percentile float32 `json:"percentile"`  // of |input|
	Scale      float32 `json:"scale"`       // median over the (row, group)s of the weight
	InputScale float32 `json:"input_scale"` // 0 unless static
	InputSQNR  float64 `json:"input_sqnr"`  // of the static scale, on the histogram; 0 unless static

	SQNRBefore   float64 `json:"sqnr_before"`   // of the weight, rounded to nearest by the better of absmax/7.5 and signed max
	SQNRAfter    float64 `json:"sqnr_after"`    // of the weight, with the fitted parameters
	OutputBefore float64 `json:"output_before"` // the same two with every weight counted by its channel's second moment:
	OutputAfter  float64 `json:"output_after"`  // the layer's output, up to correlations between channels
	Clipped      float64 `json:"clipped"`       // share of weights that the fitted parameters clip, 0...1
}

// Report is the table of a calibration, in the order of the layers.
type Report struct {
	Percentile float64 `json:"percentile"` // which one, in percent
	Rows       []Row   `json:"rows"`
}

// measure fills in what concerns the weight w.
func (r *Row) measure(w []float32, moments []float64, sch Scheme, fitted quant.QParams) error {
	after, output, err := weightError(w, moments, sch, fitted)
	if err != nil {
		return err
	}
	r.Scale, r.SQNRAfter, r.OutputAfter, r.Clipped = median(fitted.Scale), after.SQNR, output, after.Clipped
	r.SQNRBefore = math.Inf(-1)
	for _, m := range nearestRules(sch.Weight) {
		p, err := quant.InitQParams(w, sch.Out, sch.In, sch.Weight, m)
		if err != nil {
			return err
		}
		before, output, err := weightError(w, moments, sch, p)
		if err != nil {
			return err
		}
		if before.SQNR > r.SQNRBefore {
			r.SQNRBefore, r.OutputBefore = before.SQNR, output
		}
	}
	return nil
}

// nearestRules are the rules whose better one stands for round-to-nearest.
func nearestRules(sch quant.WeightScheme) []quant.ScaleMethod {
	if sch.Symmetric {
		return []quant.ScaleMethod{quant.SignedMax, quant.AbsMaxHalf}
	}
	return []quant.ScaleMethod{quant.MinMax}
}

// weightError compares w with its quantized form, plainly and with column k counted moments[k] times (output, in dB).
func weightError(w []float32, moments []float64, sch Scheme, p quant.QParams) (plain quant.ErrorStats, output float64, err error) {
	if plain, err = quant.WeightError(w, sch.Out, sch.In, p, sch.Weight); err != nil {
		return plain, 0, err
	}
	y, err := quant.FakeQuantize(w, sch.Out, sch.In, p, sch.Weight)
	if err != nil {
		return plain, 0, err
	}
	var signal, noise float64
	for i, v := range w {
		h, d := moments[int64(i)%sch.In], float64(v)-float64(y[i])
		signal += float64(h * float64(v) * float64(v))
		noise += float64(h * d * d)
	}
	return plain, decibels(signal, noise), nil
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

// columns of the table: a heading, a cell, and the value to sort by (nil: by the cell's text).
var columns = []struct {
	name  string
	cell  func(Row) string
	value func(Row) float64
}{
	{"layer", func(r Row) string { return r.Layer }, nil},
	{"scheme", func(r Row) string { return r.Scheme }, nil},
	{"tokens", func(r Row) string { return fmt.Sprint(r.Tokens) }, func(r Row) float64 { return float64(r.Tokens) }},
	{"min", func(r Row) string { return short(r.Min) }, func(r Row) float64 { return float64(r.Min) }},
	{"max", func(r Row) string { return short(r.Max) }, func(r Row) float64 { return float64(r.Max) }},
	{"percentile", func(r Row) string { return short(r.Percentile) }, func(r Row) float64 { return float64(r.Percentile) }},
	{"scale", func(r Row) string { return short(r.Scale) }, func(r Row) float64 { return float64(r.Scale) }},
	{"input_scale", func(r Row) string { return orDash(r.InputScale) }, func(r Row) float64 { return float64(r.InputScale) }},
	{"sqnr_before", func(r Row) string { return fmt.Sprintf("%.2f", r.SQNRBefore) }, func(r Row) float64 { return r.SQNRBefore }},
	{"sqnr_after", func(r Row) string { return fmt.Sprintf("%.2f", r.SQNRAfter) }, func(r Row) float64 { return r.SQNRAfter }},
	{"output_before", func(r Row) string { return fmt.Sprintf("%.2f", r.OutputBefore) }, func(r Row) float64 { return r.OutputBefore }},
	{"output_after", func(r Row) string { return fmt.Sprintf("%.2f", r.OutputAfter) }, func(r Row) float64 { return r.OutputAfter }},
	{"clipped_pct", func(r Row) string { return fmt.Sprintf("%.2f", 100*r.Clipped) }, func(r Row) float64 { return r.Clipped }},
}

func short(v float32) string { return fmt.Sprintf("%.4g", v) }

func orDash(v float32) string {
	if v == 0 {
		return "-"
	}
	return short(v)
}

// Columns are the headings of Table, and the keys of SortBy.
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

// SortBy orders the rows by a column, ascending; equal rows keep their order. An unknown column is an error that lists
// the columns.
func (r *Report) SortBy(column string) error {
	for _, c := range columns {
		if c.name != column {
			continue
		}
		slices.SortStableFunc(r.Rows, func(a, b Row) int {
			if c.value == nil {
				return strings.Compare(c.cell(a), c.cell(b))
			}
			switch x, y := c.value(a), c.value(b); {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		})
		return nil
	}
	return fmt.Errorf("calib: column %q, want one of %s", column, strings.Join(Columns(), ", "))
}
