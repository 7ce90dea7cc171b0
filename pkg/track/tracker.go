package track

import "errors"

// Value is one named number, e.g. a loss term.
type Value struct {
	Name string
	V    float64
}

// Step is the report of one optimizer step.
type Step struct {
	Step   int64   // 1 for the first step of the run, also after a resume
	Tokens int64   // tokens (codec frames) that the step trained on
	Values []Value // in the order in which they are shown; names are unique
}

// Tracker receives the reports of a run.
type Tracker interface {
	// Start begins a run of total steps of which the first done are finished
	// (more than 0 after a resume).
	Start(done, total int64) error
	// Step reports a finished step; steps come in ascending order.
	Step(s Step) error
	// Note passes on one line of text, e.g. that a checkpoint was saved.
	Note(text string) error
	// Close ends the run, finished or not.
	Close() error
}

// Multi feeds every tracker in order; the errors of all are joined, so a full
// disk under one does not silence the others.
func Multi(trackers ...Tracker) Tracker { return multi(trackers) }

type multi []Tracker

func (m multi) each(f func(Tracker) error) error {
	errs := make([]error, len(m))
	for i, t := range m {
		errs[i] = f(t)
	}
	return errors.Join(errs...)
}

func (m multi) Start(done, total int64) error {
	return m.each(func(t Tracker) error { return t.Start(done, total) })
}

func (m multi) Step(s Step) error { return m.each(func(t Tracker) error { return t.Step(s) }) }

func (m multi) Note(text string) error { return m.each(func(t Tracker) error { return t.Note(text) }) }

func (m multi) Close() error { return m.each(Tracker.Close) }
