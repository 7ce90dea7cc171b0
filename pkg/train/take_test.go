package train_test

import (
	"context"
	"slices"
	"testing"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/train"
)

// listener notes the utterances that its objective is asked about.
type listener struct {
	*bigram
	ids []string
}

func (l *listener) Terms(c *nn.Context, us []data.Utterance, total train.Counts) ([]train.Term, error) {
	for _, u := range us {
		l.ids = append(l.ids, u.ID)
	}
	l.ids = append(l.ids, "|")
	return l.bigram.Terms(c, us, total)
}

// Batches foretells what a training will see, however steps are cut.
func TestBatches(t *testing.T) {
	for _, edit := range []func(*train.Config){
		func(c *train.Config) { c.TokensPerStep = 20 },
		func(c *train.Config) { c.TokensPerStep = 0 },
		func(c *train.Config) { c.TokensPerStep, c.Accumulate = 0, 3 },
	} {
		cfg := train.DefaultConfig()
		cfg.Steps, cfg.MicroBatch = 9, 3
		edit(&cfg)
		set := corpus(14)
		l := &listener{bigram: newBigram(t)}
		if _, err := (&train.Loop{Config: cfg, Objective: l, Data: set}).Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		var told []string
		for us, err := range cfg.Batches(set) {
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range us {
				told = append(told, u.ID)
			}
			told = append(told, "|")
		}
		if !slices.Equal(told, l.ids) {
			t.Errorf("%+v: foretold %v, came %v", cfg, told, l.ids)
		}
	}
	for _, err := range train.DefaultConfig().Batches(data.List{}) {
		if err == nil {
			t.Error("batches of no utterances")
		}
	}
}

// What changes memory only may change on resume.
func TestResumeWithRecomputation(t *testing.T) {
	cfg := train.DefaultConfig()
	cfg.Steps, cfg.TokensPerStep = 3, 10
	dir := t.TempDir()
	run := func() error {
		_, err := (&train.Loop{Config: cfg, Objective: newBigram(t), Data: corpus(9), Dir: dir, Resume: true}).Run(context.Background())
		return err
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	cfg.GradientCheckpointing = true
	if err := run(); err != nil {
		t.Error(err)
	}
}
