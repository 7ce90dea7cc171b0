package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/bench/contest"
)

// peer is a rival's process.
type peer struct {
	*contest.Rival
	why error // it could not be started
}

// peer starts a script of the rivals' folder, once for each set of flags. One that does not start has why.
func (b *bench) peer(ctx context.Context, script string, flags ...string) *peer {
	key := fmt.Sprint(script, flags)
	if p := b.peers[key]; p != nil {
		return p
	}
	hello := map[string]any{}
	args := append([]string{filepath.Join(b.o.peers, script), "--threads", fmt.Sprint(b.o.threads)}, flags...)
	r, err := contest.Start(ctx, b.o.threads, &hello, b.o.python, args...)
	p := &peer{Rival: r}
	if err != nil {
		p = &peer{why: fmt.Errorf("%w (make bench-int4 sets it up)", err)}
		fmt.Println("rival:", p.why)
	} else {
		fmt.Print("rival: ", script)
		for _, name := range slices.Sorted(maps.Keys(hello)) {
			fmt.Printf(", %s %v", name, hello[name])
		}
		fmt.Println()
	}
	if b.peers == nil {
		b.peers = map[string]*peer{}
	}
	b.peers[key] = p
	return p
}

// stop ends a peer, which frees its memory; asked for again, it starts anew.
func (b *bench) stop(p *peer) error {
	for key, o := range b.peers {
		if o == p {
			delete(b.peers, key)
		}
	}
	if p.Rival == nil {
		return nil
	}
	return p.Close()
}

// stopScript ends the peers of a script that run.
func (b *bench) stopScript(script string) (err error) {
	for key, p := range b.peers {
		if strings.HasPrefix(key, script) {
			err = errors.Join(err, b.stop(p))
		}
	}
	return err
}

// task is what a peer is asked.
type task map[string]any

// do has the peer do a task. Its answer may say that this cannot be done here.
func (p *peer) do(t task) error {
	if p.why != nil {
		return p.why
	}
	var answer struct{ Error string }
	if err := p.Ask(t, &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}

// time is a side of a contest that asks the peer for the time of a task.
func (p *peer) time(t task) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) {
		var answer struct {
			MS    float64
			Error string
		}
		err := p.Ask(t, &answer)
		if err == nil && answer.Error != "" {
			err = errors.New(answer.Error)
		}
		return answer.MS, err
	}
}
