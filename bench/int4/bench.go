package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/pkg/report"
)

// bench collects rows and the profiles of those that missed their goal, and keeps the rivals that were started.
type bench struct {
	o      options
	rows   []contest.Row
	missed []*report.Table
	peers  map[string]*peer
}

// race is a contest, and where our time goes in case we miss its goal.
type race struct {
	contest.Contest
	profile func(ours float64) (*report.Table, error) // nil: nothing more to tell than the rows do
	rival   *peer                                     // nil: none; why says why where there should be one
	why     error
}

// run goes through races side by side, and profiles those that miss their goal, in real time if that is wanted and
// permitted. Races without a rival become rows that say why.
func (b *bench) run(ctx context.Context, title string, races []race) (err error) {
	races = slices.DeleteFunc(races, func(r race) bool { return !b.wants(r.Name) })
	if len(races) == 0 {
		return nil
	}
	fmt.Println(title)
	var list []contest.Contest
	pids := []int{}
	for _, r := range races {
		if r.why != nil {
			continue
		}
		list = append(list, r.Contest)
		if r.rival != nil && !slices.Contains(pids, r.rival.PID()) {
			pids = append(pids, r.rival.PID())
		}
	}
	if b.o.realtime {
		all := append([]int{os.Getpid()}, pids...)
		if err := contest.Realtime(all...); err != nil {
			fmt.Println("not in real time:", err)
		}
		defer func() { err = errors.Join(err, contest.Ordinary(all...)) }()
	}
	var rows []contest.Row
	if len(list) > 0 {
		if rows, err = contest.Run(ctx, os.Stdout, list, b.o.rounds, pids...); err != nil {
			return err
		}
	}
	for _, r := range races {
		if r.why != nil {
			b.rows = append(b.rows, contest.Without(r.Contest, "no rival: "+r.why.Error()))
			continue
		}
		row := rows[0]
		b.rows, rows = append(b.rows, row), rows[1:]
		if row.Reached || r.profile == nil {
			continue
		}
		t, err := r.profile(row.Ours)
		if err != nil {
			return fmt.Errorf("profile of %s: %w", r.Name, err)
		}
		t.Title = "where the time goes: " + t.Title
		if !slices.ContainsFunc(b.missed, func(o *report.Table) bool { return o.Title == t.Title }) {
			b.missed = append(b.missed, t)
		}
	}
	return nil
}

// wants tells whether a row of that name was asked for.
func (b *bench) wants(name string) bool { return b.o.only == nil || b.o.only.MatchString(name) }

func (b *bench) close() (err error) {
	for _, p := range b.peers {
		if p.Rival != nil {
			err = errors.Join(err, p.Close())
		}
	}
	return err
}
