package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/qakd/qakd/internal/memory"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/measure"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// decoded is what decoding with one form of a checkpoint costs: the best of all rounds. Times are in milliseconds.
type decoded struct {
	Name        string       `json:"form"`
	Kernels     string       `json:"kernels"`
	Left        []string     `json:"dequantized_layers,omitempty"`
	PrefillRate float64      `json:"prefill_tokens_per_second"`
	DecodeRate  float64      `json:"decode_tokens_per_second"` // frames of talker and code predictor
	FirstPacket float64      `json:"first_packet_ms,omitempty"`
	Bytes       measure.Read `json:"read_a_frame"`
	Bandwidth   float64      `json:"gb_per_second"`
	Share       float64      `json:"share_of_memory_bandwidth"` // above 1: from a cache
	Peak        int64        `json:"peak_bytes"`                // high-water mark of this process while this form was there; 0 if unknown
	measure.Times
}

// decoding is all of it.
type decoding struct {
	Model     string     `json:"model"`
	Threads   int        `json:"threads"`
	Bandwidth float64    `json:"memory_gb_per_second"` // measured by reading
	Results   []*decoded `json:"results"`
}

// form is a way to hold a checkpoint's weights.
type form struct {
	name         string
	dtype, codec gotch.DType
	dense        bool
}

// forms of the checkpoint in dir: packed as it is, if it is, and dense in bf16 and float32.
func forms(dir string) ([]form, error) {
	kind, err := qat.Kind(dir)
	if err != nil {
		return nil, err
	}
	var list []form
	if kind == "packed" {
		list = append(list, form{"packed, codec f32", gotch.BFloat16, gotch.Float, false})
	}
	return append(list, form{"dense bf16", gotch.BFloat16, gotch.BFloat16, true}, form{"dense f32", gotch.Float, gotch.Float, true}), nil
}

// decode measures all forms, one after the other.
func decode(ctx context.Context, o options) error {
	if o.threads > 0 {
		if err := tensor.SetThreads(o.threads); err != nil {
			return err
		}
	}
	d := &decoding{Model: o.Model, Threads: tensor.Threads()}
	if d.Model == "" {
		var err error
		if d.Model, err = demo.TeacherDir(); err != nil {
			return err
		}
	}
	speed, err := measure.Bandwidth(d.Threads)
	if err != nil {
		return err
	}
	d.Bandwidth = speed / 1e9
	list, err := forms(d.Model)
	if err != nil {
		return err
	}
	for _, f := range list {
		r, err := d.form(ctx, o, f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		d.Results = append(d.Results, r)
		tensor.Trim()
	}
	if o.JSON {
		return report.JSON(os.Stdout, d)
	}
	return d.table(o).Text(os.Stdout)
}

// form measures one.
func (d *decoding) form(ctx context.Context, o options, f form) (*decoded, error) {
	watched := memory.ResetPeak() == nil
	us, err := measure.Open(measure.Options{
		Model: d.Model, DType: f.dtype, Codec: f.codec, Dense: f.dense, Steppers: talker.StepperOptions{Threads: d.Threads},
		Text: o.text, Frames: o.frames + 1, Chunk: min(o.chunk, o.frames),
	})
	if err != nil {
		return nil, err
	}
	defer us.Close()
	r := &decoded{Name: f.name, Kernels: us.Kernels(), Bytes: us.Read(), FirstPacket: math.Inf(1)}
	if us.Packed != nil {
		for _, l := range us.Packed.Left {
			r.Left = append(r.Left, l.Path)
		}
	}
	inf := math.Inf(1)
	r.Times = measure.Times{Rows: len(us.Prompt.Rows), Prefill: inf, Talker: inf, Predictor: inf, Codec: inf}
	for round := range o.steps + 1 {
		if err := r.round(ctx, us, round > 0); err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "bench: %s, round %d: best talker %.2f ms, code predictor %.2f ms, codec %.2f ms\n", f.name, round, r.Talker, r.Predictor, r.Codec)
	}
	if us.Codec == nil {
		r.FirstPacket, r.Codec = 0, 0
	}
	frame := r.Talker + r.Predictor
	r.PrefillRate, r.DecodeRate = 1e3*float64(r.Rows)/r.Prefill, 1e3/frame
	r.Bandwidth = r.Bytes.Total() / frame / 1e6
	r.Share = r.Bandwidth / d.Bandwidth
	if watched {
		u, err := memory.Now()
		if err != nil {
			return nil, err
		}
		r.Peak = u.Peak
	}
	return r, nil
}

// round keeps the lesser times, of all rounds that count.
func (r *decoded) round(ctx context.Context, us *measure.Decoder, counts bool) error {
	t, err := us.Speech(ctx)
	if err != nil {
		return err
	}
	packet := math.Inf(1)
	if us.Codec != nil {
		var e1, e2 error
		t.Codec, e1 = us.Sound()
		packet, e2 = us.FirstPacket(ctx)
		if err := errors.Join(e1, e2); err != nil {
			return err
		}
	}
	if counts {
		r.Prefill, r.Talker, r.Predictor = min(r.Prefill, t.Prefill), min(r.Talker, t.Talker), min(r.Predictor, t.Predictor)
		r.Codec, r.FirstPacket = min(r.Codec, t.Codec), min(r.FirstPacket, packet)
	}
	return nil
}

// table has a column per form.
func (d *decoding) table(o options) *report.Table {
	t := &report.Table{
		Title: fmt.Sprintf("%s: %d rows, then %d frames, best of %d rounds, %d threads, memory %.1f GB/s",
			filepath.Base(d.Model), d.Results[0].Rows, o.frames, o.steps, d.Threads, d.Bandwidth),
		Columns: []string{"what"},
	}
	for _, r := range d.Results {
		t.Columns = append(t.Columns, r.Name)
	}
	row := func(what, format string, value func(*decoded) float64) {
		cells := []any{what}
		for _, r := range d.Results {
			cell := "–"
			if v := value(r); v != 0 {
				cell = fmt.Sprintf(format, v)
			}
			cells = append(cells, cell)
		}
		t.Add(cells...)
	}
	row("prefill, tokens/s", "%.0f", func(r *decoded) float64 { return r.PrefillRate })
	row("decode, tokens/s", "%.1f", func(r *decoded) float64 { return r.DecodeRate })
	row("talker, ms a frame", "%.2f", func(r *decoded) float64 { return r.Talker })
	row("code predictor, ms a frame", "%.2f", func(r *decoded) float64 { return r.Predictor })
	row("codec, ms a frame", "%.2f", func(r *decoded) float64 { return r.Codec })
	row("first packet, ms", "%.0f", func(r *decoded) float64 { return r.FirstPacket })
	row("weights a frame, MB", "%.0f", func(r *decoded) float64 { return r.Bytes.Total() / 1e6 })
	row("read, GB/s", "%.1f", func(r *decoded) float64 { return r.Bandwidth })
	row("share of memory bandwidth, %", "%.0f", func(r *decoded) float64 { return 100 * r.Share })
	row("peak memory, MB", "%.0f", func(r *decoded) float64 { return float64(r.Peak) / 1e6 })
	names := []any{"kernels"}
	for _, r := range d.Results {
		name := r.Kernels
		if len(r.Left) > 0 {
			name += fmt.Sprintf("; %d layers dequantized, %s …", len(r.Left), strings.TrimPrefix(r.Left[0], "talker."))
		}
		names = append(names, name)
	}
	t.Add(names...)
	return t
}
