package eval

import (
	"context"

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
	Bytes         int64     `json:"bytes"`           // of the checkpoint's folder on disk
	BitsPerWeight float64   `json:"bits_per_weight"` // of the quantized layers: codes, scales, zero points
}

// Bench measures models against one teacher on the same utterances.
type Bench struct {
	Teacher *talker.Model
	Config  Config
	Sample  talker.Sampling
	Set     data.List // held-out utterances

	spoken []talker.Speech // the teacher's, made once
}

// Row measures m. The teacher itself is measured like any other.
func (b *Bench) Row(ctx context.Context, name string, m *talker.Model) (Row, error) {
	d, err := distill.Measure(ctx, b.Teacher, m, b.Set, b.Config.Measure())
	if err != nil {
		return Row{}, err
	}
	row := Row{Name: name, KL: d.NatsPerFrame(), KLByCodebook: d.KL, Agreement0: d.Agreement[0]}
	for _, a := range d.Agreement[1:] {
		row.AgreementCP += a / float64(len(d.Agreement)-1)
	}
	if b.Config.FreeRun == 0 {
		return row, nil
	}
	speech, err := b.speak(ctx, m)
	if err != nil {
		return Row{}, err
	}
	if b.spoken == nil {
		if b.spoken = speech; m != b.Teacher {
			if b.spoken, err = b.speak(ctx, b.Teacher); err != nil {
				return Row{}, err
			}
		}
	}
	free, err := Compare(speech, b.spoken)
	row.DurationRatio, row.EOSErrors = free.Ratio, free.EOSErrors
	return row, err
}

func (b *Bench) speak(ctx context.Context, m *talker.Model) ([]talker.Speech, error) {
	s := b.Sample
	s.MaxNewTokens = b.Config.MaxFrames + 1
	return FreeRun(ctx, m, b.Set[:min(b.Config.FreeRun, len(b.Set))], s, b.Config.FreeBatch)
}
