package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// rival is the reference implementation in a process of its own: a line of JSON in, a line out.
type rival struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	log  strings.Builder // its stderr
	what string

	closed bool
}

func startRival(ctx context.Context, o options) (*rival, error) {
	r := &rival{cmd: exec.CommandContext(ctx, o.python, o.peer, "--model", o.model, "--dtype", o.dtype, "--threads", fmt.Sprint(o.threads))}
	r.cmd.Env = append(os.Environ(), fmt.Sprintf("OMP_NUM_THREADS=%d", o.threads), "HF_HUB_OFFLINE=1")
	r.cmd.Stderr = &r.log
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	r.out = bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("rival %s: %w (make bench-talk sets it up)", o.python, err)
	}
	var hello struct{ Torch, Transformers, DType, Codec_DType string }
	if err := r.read(&hello); err != nil {
		return nil, err
	}
	r.what = fmt.Sprintf("qwen-tts, torch %s, transformers %s, talker %s, codec %s", hello.Torch, hello.Transformers, hello.DType, hello.Codec_DType)
	return r, nil
}

func (r *rival) read(into any) error {
	line, err := r.out.ReadBytes('\n')
	if err != nil { // it has ended, or is of no use: only then are all its words there
		end := r.close()
		log := strings.Split(strings.TrimSpace(r.log.String()), "\n")
		return fmt.Errorf("rival: %w (%v); it last said: %s", err, end, log[len(log)-1])
	}
	if err := json.Unmarshal(line, into); err != nil {
		return fmt.Errorf("rival: %q: %w", line, err)
	}
	return nil
}

func (r *rival) ask(task map[string]any) (times, error) {
	b, err := json.Marshal(task)
	if err != nil {
		return times{}, err
	}
	if _, err := r.in.Write(append(b, '\n')); err != nil {
		return times{}, fmt.Errorf("rival: %w", err)
	}
	var t times
	return t, r.read(&t)
}

func (r *rival) speech(u *ours, seed int) (times, error) {
	return r.ask(map[string]any{"stage": "speech", "ids": u.ids(), "language": language, "speaker": speaker, "frames": u.o.frames, "seed": seed})
}

func (r *rival) sound(frames int) (float64, error) {
	t, err := r.ask(map[string]any{"stage": "codec", "frames": frames})
	return t.Codec, err
}

func (r *rival) pid() int { return r.cmd.Process.Pid }

// close lets it end by itself. A second call does nothing.
func (r *rival) close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return errors.Join(r.in.Close(), r.cmd.Wait())
}
