package finetune_test

import (
	"context"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/finetune"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch"
)

// TestObjectives trains one checkpoint in the three forms until it knows the data by heart, and looks at what decoding gets
// out of it. Each form brings its own loss down to nothing. With the aligned one, greedy decoding then repeats the
// recordings code by code, and ends where they end. With the script's, whose targets lie one row and one code further on
// and whose code predictor has seen the frame that it is to predict, decoding is worse off than before the training.
func TestObjectives(t *testing.T) {
	list := rows(t, "tiny-f32", 6)
	for _, form := range []talker.Objective{talker.Aligned, talker.Projected, talker.Script} {
		m := load(t, source("tiny-f32"), gotch.Float)
		before := measured(t, m, list)
		learn(t, m, list, form)
		after := measured(t, m, list)
		if own := ownLoss(t, m, list, form); own > 0.1 {
			t.Errorf("%s: its own loss is %.2f after training, want about 0", form, own)
		}
		right, length := agreement(t, m, list)
		t.Logf("%-9s loss of decoding %5.2f -> %5.2f, codes right %.2f, length %.2f", form, before.Total(), after.Total(), right, length)
		if form == talker.Aligned {
			if after.Total() > 0.1 || right < 0.99 || length != 1 {
				t.Errorf("%s: loss of decoding %.2f, %.2f of the codes are right, length %.2f, want 0, 1 and 1", form, after.Total(), right, length)
			}
			continue
		}
		if after.Code0 < before.Code0+1 || after.Codes < before.Codes+1 || right > 0.1 {
			t.Errorf("%s: loss of decoding %+v after %+v, %.2f of the codes right, want it worse by a nat in both parts, and none right",
				form, after, before, right)
		}
	}
}

func learn(t *testing.T, m *talker.Model, list data.List, form talker.Objective) {
	t.Helper()
	cfg := train.DefaultConfig()
	cfg.Steps, cfg.MicroBatch, cfg.TokensPerStep, cfg.SortWindow, cfg.TrimEvery = 40, len(list), 0, 0, 0
	cfg.Optim = finetune.DefaultConfig().Optim
	cfg.Optim.LR = 3e-3
	loop := train.Loop{Config: cfg, Objective: &finetune.Objective{Model: m, Form: form}, Data: list}
	if _, err := loop.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func measured(t *testing.T, m *talker.Model, list data.List) finetune.Loss {
	t.Helper()
	loss, err := finetune.Measure(context.Background(), m, list, len(list))
	if err != nil {
		t.Fatal(err)
	}
	return loss
}

// ownLoss is the loss in a form.
func ownLoss(t *testing.T, m *talker.Model, list data.List, form talker.Objective) (v float64) {
	t.Helper()
	o := &finetune.Objective{Model: m, Form: form}
	err := nn.Run(func(c *nn.Context) (err error) {
		nn.NoGrad(func() {
			terms, e := o.Terms(c, list, train.Count(list))
			if err = e; err != nil {
				return
			}
			for _, term := range terms {
				x, e := tensor.Scalar(term.Value)
				if err = e; err != nil {
					return
				}
				v += term.Weight * x
			}
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// agreement is the share of the recorded codes that greedy decoding finds at their place, and the frames that it draws
// for each recorded one.
func agreement(t *testing.T, m *talker.Model, list data.List) (share, length float64) {
	t.Helper()
	var prompts []talker.Prompt
	for _, u := range list {
		p, err := talker.DecodingRows(m.Config, talker.Request{ID: u.ID, Text: u.Text, Voice: &talker.Voice{Vector: u.Vector}})
		if err != nil {
			t.Fatal(err)
		}
		prompts = append(prompts, p)
	}
	s := talker.DefaultSampling()
	s.DoSample, s.SubDoSample, s.RepetitionPenalty, s.MaxNewTokens = false, false, 1, 20
	speech, err := m.Generate(context.Background(), prompts, s)
	if err != nil {
		t.Fatal(err)
	}
	var right, all, drawn, frames float64
	for i, u := range list {
		drawn, frames = drawn+float64(len(speech[i].Codes)), frames+float64(len(u.Codes))
		for f, codes := range u.Codes {
			for g, code := range codes {
				all++
				if f < len(speech[i].Codes) && speech[i].Codes[f][g] == code {
					right++
				}
			}
		}
	}
	return right / all, drawn / frames
}
