package finetune

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/train"
)

// Entries of a run folder, beside checkpoint-epoch-N.
const (
	StatesDir   = "checkpoints"   // to resume from
	MetricsFile = "metrics.jsonl" // of every update
)

// CheckpointDir is the name of the folder that epoch N, from 0, leaves in the run folder.
func CheckpointDir(epoch int) string { return fmt.Sprintf("checkpoint-epoch-%d", epoch) }

// Job is one fine-tuning.
type Job struct {
	Source string        // folder of the base checkpoint
	Model  *talker.Model // loaded from it; it is trained in place
	Rows   data.List     // from a Reader
	Held   data.List     // measured after every epoch; nil for none
	Config Config
	Seed   int64     // of the order of the utterances
	Dir    string    // run folder
	Resume bool      // go on from the last state in Dir, if there is one
	Log    io.Writer // progress and remarks; nil for none
}

// Result of a Job.
type Result struct {
	Updates     int      `json:"updates"`
	Frames      int64    `json:"frames"`      // trained on
	Checkpoints []string `json:"checkpoints"` // folders, by epoch
	Held        *Loss    `json:"validation,omitempty"`
}

// Run trains until all epochs are done, or until ctx ends, which saves the state after the update in progress. The
// speaker's row is the vector of the first utterance of the run, as in the reference's; where others differ, Log is told.
func (j Job) Run(ctx context.Context) (*Result, error) {
	if j.Log == nil {
		j.Log = io.Discard
	}
	voice, err := j.voice()
	if err != nil {
		return nil, err
	}
	fingerprint, err := digest(j.Rows)
	if err != nil {
		return nil, err
	}
	cfg, res := j.Config.loop(len(j.Rows), j.Seed), &Result{}
	loop := train.Loop{
		Config: cfg, Objective: &Objective{Model: j.Model, Form: j.Config.Objective}, Data: j.Rows,
		Dir: filepath.Join(j.Dir, StatesDir), Resume: j.Resume,
		Settings: train.Settings{"objective": string(j.Config.Objective), "speaker": j.Config.Speaker,
			"slot": strconv.Itoa(j.Config.Slot), "data_sha256": fingerprint},
		Tracker: cfg.Tracker(filepath.Join(j.Dir, MetricsFile), j.Log, "finetune"),
		EpochEnd: func(epoch int) error {
			return Save(filepath.Join(j.Dir, CheckpointDir(epoch)), j.Model, j.Source, voice)
		},
	}
	if len(j.Held) > 0 {
		loop.Evaluate = func(ctx context.Context, _ int) (train.Evaluation, error) {
			loss, err := Measure(ctx, j.Model, j.Held, j.Config.Batch)
			res.Held = &loss
			return train.Evaluation{Value: loss.Total(), Metrics: []track.Value{
				{Name: "ce_code0", V: loss.Code0}, {Name: "ce_codes", V: loss.Codes}}}, err
		}
	}
	done, err := loop.Run(ctx)
	if err != nil {
		return nil, err
	}
	res.Updates, res.Frames = done.Step, done.Frames
	for epoch := range j.Config.Epochs {
		res.Checkpoints = append(res.Checkpoints, filepath.Join(j.Dir, CheckpointDir(epoch)))
	}
	return res, nil
}

// voice checks the job and gives the speaker that its checkpoints will know.
func (j Job) voice() (Voice, error) {
	if err := j.Config.Validate(); err != nil {
		return Voice{}, err
	}
	if err := base(j.Model.Config); err != nil {
		return Voice{}, err
	}
	if len(j.Rows) == 0 {
		return Voice{}, fmt.Errorf("finetune: %w", data.ErrEmpty)
	}
	sampler, err := j.Config.loop(len(j.Rows), j.Seed).Sampler(j.Rows)
	if err != nil {
		return Voice{}, err
	}
	batch, err := sampler.Batch(0)
	if err != nil {
		return Voice{}, err
	}
	first := batch[0]
	others := 0
	for _, u := range j.Rows {
		if !slices.Equal(u.Vector, first.Vector) {
			others++
		}
	}
	if others > 0 {
		fmt.Fprintf(j.Log, "finetune: %d of %d utterances have another voice vector than %q, whose voice %q will have: one ref_audio for all is better\n",
			others, len(j.Rows), first.ID, j.Config.Speaker)
	}
	v := Voice{Name: j.Config.Speaker, Slot: j.Config.Slot, Vector: first.Vector}
	_, _, err = contents(j.Model, j.Source, v) // now, not after the first epoch
	return v, err
}

// digest is the SHA-256 of all that is trained on, so that a run does not go on with other data. Names and paths are left
// out: files may be moved.
func digest(list data.List) (string, error) {
	h := sha256.New()
	w := data.NewWriter(h)
	for _, u := range list {
		if err := w.Write(data.Utterance{Text: u.Text, Codes: u.Codes, Vector: u.Vector}); err != nil {
			return "", fmt.Errorf("finetune: utterance %q: %w", u.ID, err)
		}
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Table shows the result for a person.
func (r *Result) Table(speaker string) *report.Table {
	t := &report.Table{Title: fmt.Sprintf("speaker %q, %d updates, %d frames", speaker, r.Updates, r.Frames), Columns: []string{"epoch", "checkpoint"}}
	for epoch, dir := range r.Checkpoints {
		t.Add(epoch, dir)
	}
	if r.Held != nil {
		t.Add("validation", fmt.Sprintf("%.4f nats (code 0 %.4f, other codes %.4f)", r.Held.Total(), r.Held.Code0, r.Held.Codes))
	}
	return t
}
