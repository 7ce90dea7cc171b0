package contest

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

// Rival is a program that first says what it is, in a line of JSON, and then answers each line of JSON with one.
type Rival struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	log strings.Builder // its stderr, whole once it is closed

	closed bool
}

// Start starts a rival with so many OpenMP threads and reads what it says of itself into hello. It ends with ctx, or with
// Close; where it fails to begin, it has been closed.
func Start(ctx context.Context, threads int, hello any, program string, args ...string) (*Rival, error) {
	r := &Rival{cmd: exec.CommandContext(ctx, program, args...)}
	r.cmd.Env = append(os.Environ(), fmt.Sprintf("OMP_NUM_THREADS=%d", threads))
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
		return nil, fmt.Errorf("rival %s: %w", program, err)
	}
	return r, r.read(hello)
}

func (r *Rival) read(into any) error {
	line, err := r.out.ReadBytes('\n')
	if err == nil {
		if err = json.Unmarshal(line, into); err == nil {
			return nil
		}
		err = fmt.Errorf("%q: %w", line, err)
	}
	end := r.Close() // only then are all its words there
	log := strings.Split(strings.TrimSpace(r.log.String()), "\n")
	return fmt.Errorf("rival %s: %w (%v); it last said: %s", strings.Join(r.cmd.Args, " "), err, end, log[len(log)-1])
}

// Ask has it do a task.
func (r *Rival) Ask(task, answer any) error {
	b, err := json.Marshal(task)
	if err != nil {
		return err
	}
	if _, err := r.in.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("rival %s: %w", strings.Join(r.cmd.Args, " "), err)
	}
	return r.read(answer)
}

// PID is its process.
func (r *Rival) PID() int { return r.cmd.Process.Pid }

// Close lets it end by itself. A second call does nothing.
func (r *Rival) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return errors.Join(r.in.Close(), r.cmd.Wait())
}

// Log is what a closed rival said beside its answers.
func (r *Rival) Log() string { return r.log.String() }
