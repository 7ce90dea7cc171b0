package eval

import (
	"context"
	"fmt"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/talker"
)

// Row is one model's line in the summary of a run.
type Row struct {
	Name          string    `json:"name"`
	KL            float64   `json:"kl"`              // nats per frame: the sum over codebooks, whole codec head
	KLByCodebook  []float64 `json:"kl_by_codebook"`  // [G]
	Agreement0    float64   `json:"agreement_code0"` // share of equal best classes, whole codec head
	AgreementCP   float64   `json:"agreement_cp"`    // mean over codebooks 1 … G-1
	EOSErrors     float64   `json:"eos_errors"`      // share, see Durations; 0 without free-running speech
	DurationRatio float64   `json:"duration_ratio"`  // 0 without free-running speech
	Bytes         int64     `json:"bytes"`           // of the checkpoint's folder on disk, without the speech tokenizer that all forms share
	BitsPerWeight float64   `json:"bits_per_weight"` // of the quantized layers: codes, scales, zero points; the teacher: as stored

	Layouts []LayoutRow `json:"layouts,omitempty"` // by layout of the prompts, where they differ
}

// LayoutRow is a model's line for the utterances with one layout.
type LayoutRow struct {
	Layout     string  `json:"layout"`
	Utterances int64   `json:"utterances"`
	KL         float64 `json:"kl"` // nats per frame
}

// Bench measures models against one teacher on the same utterances.
type Bench struct {
	teacher *talker.Model
	cfg     Config
	sample  talker.Sampling
	set     data.List
	probe   *distill.Probe
	spoken  []talker.Speech // the teacher's
}

// NewBench runs the teacher over set, whose utterances are laid out as they stand (see distill.Mix), and lets it speak the first FreeRun texts with s. The caller closes the bench, and
// the teacher after it.
func NewBench(ctx context.Context, teacher *talker.Model, set data.List, s talker.Sampling, cfg Config) (*Bench, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	s.MaxNewTokens = cfg.MaxFrames + 1
	b := &Bench{teacher: teacher, cfg: cfg, sample: s, set: set}
	var err error
	if b.probe, err = distill.NewProbe(ctx, teacher, set, cfg.Measure()); err != nil {
		return nil, err
	}
	if b.spoken, err = b.speak(ctx, teacher); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Close frees what the bench remembers of the teacher.
func (b *Bench) Close() { b.probe.Close() }

// Row measures m; the teacher itself is measured like any other. Before m speaks freely, packed projections that pkg/packed
// has kernels for are swapped for those, whose memory packed.Free gives back.
func (b *Bench) Row(ctx context.Context, name string, m *talker.Model) (Row, error) {
	d, err := b.probe.Measure(ctx, m)
	if err != nil {
		return Row{}, err
	}
	row := Row{Name: name, KL: d.NatsPerFrame(), KLByCodebook: d.KL, Agreement0: d.Agreement[0]}
	for _, a := range d.Agreement[1:] {
		row.AgreementCP += a
	}
	row.AgreementCP /= float64(len(d.Agreement) - 1)
	for _, l := range d.Layouts {
		row.Layouts = append(row.Layouts, LayoutRow{l.Layout.String(), l.Utterances, l.NatsPerFrame()})
	}
	if b.cfg.FreeRun == 0 {
		return row, nil
	}
	speech := b.spoken
	if m != b.teacher {
		if err := native(m); err != nil {
			return Row{}, err
		}
		if speech, err = b.speak(ctx, m); err != nil {
			return Row{}, err
		}
	}
	free, err := Compare(speech, b.spoken)
	row.DurationRatio, row.EOSErrors = free.Ratio, free.EOSErrors
	return row, err
}

func (b *Bench) speak(ctx context.Context, m *talker.Model) ([]talker.Speech, error) {
	return FreeRun(ctx, m, b.set[:min(b.cfg.FreeRun, len(b.set))], b.sample, b.cfg.FreeBatch)
}
