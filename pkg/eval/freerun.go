package eval

import (
	"context"
	"fmt"
	"slices"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/talker"
)

// FreeRun speaks the texts of us, each from the prompt that distill.Request makes of it, with seeded sampling, by native
// steppers where the model has them. Every utterance has a random stream of its own, so that two models draw from the same
// numbers.
func FreeRun(ctx context.Context, m *talker.Model, us []data.Utterance, s talker.Sampling, batch int) ([]talker.Speech, error) {
	st, err := m.Steppers(talker.StepperOptions{})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	var out []talker.Speech
	for part := range slices.Chunk(us, batch) {
		prompts := make([]talker.Prompt, len(part))
		for i, u := range part {
			r, err := distill.Request(m.Config, u)
			if err != nil {
				return nil, err
			}
			if prompts[i], err = talker.DecodingRows(m.Config, r); err != nil {
				return nil, err
			}
		}
		speech, err := m.GenerateWith(ctx, st.Talker, st.Predictor, prompts, s)
		if err != nil {
			return nil, err
		}
		out = append(out, speech...)
	}
	return out, nil
}

// Durations compares free-running speech with the teacher's of the same texts and seeds.
type Durations struct {
	Ratio     float64 // total frames over the teacher's
	EOSErrors float64 // share of utterances that never ended, or lasted under a quarter or over four times as long as the teacher's
}

// Compare needs speech and teacher in the same order.
func Compare(speech, teacher []talker.Speech) (Durations, error) {
	if len(speech) == 0 || len(speech) != len(teacher) {
		return Durations{}, fmt.Errorf("eval: %d utterances and %d of the teacher, want equally many, at least one", len(speech), len(teacher))
	}
	var frames, taught, wrong int
	for i, s := range speech {
		n, t := len(s.Codes), len(teacher[i].Codes)
		frames, taught = frames+n, taught+t
		if !s.Ended || 4*n < t || n > 4*t {
			wrong++
		}
	}
	if taught == 0 {
		return Durations{}, fmt.Errorf("eval: the teacher spoke no frame in %d utterances", len(teacher))
	}
	return Durations{
		Ratio:     float64(frames) / float64(taught),
		EOSErrors: float64(wrong) / float64(len(speech)),
	}, nil
}
