package eval

import (
	"context"
	"fmt"
	"time"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/packed"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

// Speed is how fast a model speaks one utterance, prompt included and codec not.
type Speed struct {
	Name            string  `json:"name"`
	FramesPerSecond float64 `json:"frames_per_second"`
	Decoder         string  `json:"decoder"` // what computes
}

// MeasureSpeed speaks u several times, frames long, and takes the fastest. Packed projections are given kernels first,
// as Bench.Row does.
func MeasureSpeed(ctx context.Context, name string, m *talker.Model, u data.Utterance, s talker.Sampling, frames int) (Speed, error) {
	if err := native(m); err != nil {
		return Speed{}, err
	}
	r, err := distill.Request(m.Config, u)
	if err != nil {
		return Speed{}, err
	}
	p, err := talker.DecodingRows(m.Config, r)
	if err != nil {
		return Speed{}, err
	}
	st, err := m.Steppers(talker.StepperOptions{})
	if err != nil {
		return Speed{}, err
	}
	defer st.Close()
	s = s.Exactly(frames)
	best := time.Duration(0)
	for range 3 {
		began := time.Now()
		speech, err := m.GenerateWith(ctx, st.Talker, st.Predictor, []talker.Prompt{p}, s)
		if err != nil {
			return Speed{}, err
		}
		if n := len(speech[0].Codes); n != frames {
			return Speed{}, fmt.Errorf("eval: %s spoke %d frames, want %d", name, n, frames)
		}
		if d := time.Since(began); best == 0 || d < best {
			best = d
		}
	}
	return Speed{name, float64(frames) / best.Seconds(), st.String()}, nil
}

// native gives packed projections the kernels that there are for them.
func native(m *talker.Model) error {
	for _, s := range nn.Slots(m) {
		if _, ok := s.P.(*qat.Packed); ok {
			_, _, err := packed.Swap(m, packed.SwapOptions{})
			return err
		}
	}
	return nil
}
