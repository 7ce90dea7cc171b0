package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/pkg/report"
)

// race is a contest, and where our time goes in case we miss its goal.
type race struct {
	contest.Contest
	profile profile
}

// profile says where time goes. Its zero value says nothing.
type profile struct {
	name  string                                                         // of what ours does, which may be the same in several races
	table func(ctx context.Context, ours float64) (*report.Table, error) // ours is the race's best
}

func contests(list []race) (all []contest.Contest) {
	for _, r := range list {
		all = append(all, r.Contest)
	}
	return all
}

// profiles are the tables for the races that missed their goal, once for each name.
func profiles(ctx context.Context, list []race, rows []contest.Row) (tables []*report.Table, err error) {
	var seen []string
	for i, r := range list {
		if rows[i].Reached || r.profile.table == nil || slices.Contains(seen, r.profile.name) {
			continue
		}
		seen = append(seen, r.profile.name)
		t, err := r.profile.table(ctx, rows[i].Ours)
		if err != nil {
			return nil, fmt.Errorf("profile of %s: %w", r.profile.name, err)
		}
		t.Title = "where the time goes: " + r.profile.name
		tables = append(tables, t)
	}
	return tables, nil
}

// profileRuns is how often each part runs; the best counts, without the first.
const profileRuns = 4

func bestOf(run func() (ms float64, err error)) (least float64, err error) {
	least = math.Inf(1)
	for i := range profileRuns {
		ms, err := run()
		if err != nil {
			return 0, err
		}
		if i > 0 {
			least = min(least, ms)
		}
	}
	return least, nil
}
