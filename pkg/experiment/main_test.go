package experiment_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/qakd/qakd/pkg/experiment"
)

func TestFlags(t *testing.T) {
	f := experiment.Flags{Experiment: "demo-w4a8"}
	fs := flag.NewFlagSet("distill", flag.ContinueOnError)
	f.Register(fs)
	extra := fs.Int("seeds", 1, "")
	if f.RunDir() != "runs/demo-w4a8" {
		t.Errorf("run folder %q", f.RunDir())
	}
	var stderr bytes.Buffer
	fs.SetOutput(&stderr)
	code := experiment.Main(fs, strings.Fields("-config c -experiment e -set a=1 -set b=2 -model m -out o -run r -device cpu -resume -dry-run -json -seeds 3"),
		func(context.Context) error { return nil })
	want := experiment.Flags{Config: "c", Experiment: "e", Set: []string{"a=1", "b=2"}, Model: "m", Out: "o", Run: "r", Device: "cpu", Resume: true, DryRun: true, JSON: true}
	if diff := cmp.Diff(want, f); diff != "" || code != 0 || *extra != 3 || f.RunDir() != "r" || stderr.Len() != 0 {
		t.Errorf("code %d, seeds %d, stderr %q, (-want +got):\n%s", code, *extra, stderr.String(), diff)
	}
}

// TestArguments: what stands behind the flags arrives, unless it is a flag that came too late.
func TestArguments(t *testing.T) {
	for line, want := range map[string]string{"-n 1 a b": "[a b]", "-n 1": "[]", "-n 1 -- -n": "[-n]", "a - -x": "[a - -x]",
		"a -n 1": "flag -n stands behind", "a --n=1": "flag --n=1 stands behind"} {
		fs := flag.NewFlagSet("prog", flag.ContinueOnError)
		fs.Int("n", 0, "")
		var got bytes.Buffer
		fs.SetOutput(&got)
		code := experiment.MainArgs(fs, strings.Fields(line), func(_ context.Context, args []string) error {
			fmt.Fprint(&got, args)
			return nil
		})
		if !strings.Contains(got.String(), want) || (code == 0) != strings.HasPrefix(want, "[") {
			t.Errorf("%q: code %d, %q, want %q", line, code, got.String(), want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		args string
		err  error
		code int
		text string
	}{
		{"", nil, 0, ""},
		{"", io.ErrUnexpectedEOF, 1, "prog: unexpected EOF\n"},
		{"", fmt.Errorf("prog: run: %w", io.EOF), 1, "prog: run: EOF\n"},
		{"", experiment.Usagef("unknown view %q", "x"), 2, "prog: unknown view \"x\"\n"},
		{"", fmt.Errorf("at step 3: %w", context.Canceled), 130, "prog: at step 3: context canceled\n"},
		{"-nope", nil, 2, "flag provided but not defined: -nope\n"},
		{"stray", nil, 2, "prog: unexpected argument \"stray\""},
		{"-h", nil, 0, "Usage of prog"},
	}
	for _, tt := range tests {
		fs := flag.NewFlagSet("prog", flag.ExitOnError)
		var stderr bytes.Buffer
		fs.SetOutput(&stderr)
		code := experiment.Main(fs, strings.Fields(tt.args), func(context.Context) error { return tt.err })
		if code != tt.code || !strings.HasPrefix(stderr.String(), tt.text) {
			t.Errorf("%q, %v: code %d, stderr %q; want %d, %q", tt.args, tt.err, code, stderr.String(), tt.code, tt.text)
		}
	}
}

// TestInterrupt runs a program of its own process: the first signal ends the
// context and the exit code is 130, a second one kills.
func TestInterrupt(t *testing.T) {
	if how := os.Getenv("EXPERIMENT_INTERRUPT"); how != "" {
		fs := flag.NewFlagSet("prog", flag.ContinueOnError)
		os.Exit(experiment.Main(fs, nil, func(ctx context.Context) error {
			fmt.Println("ready")
			<-ctx.Done()
			if how == "stuck" {
				time.Sleep(time.Minute)
			}
			return fmt.Errorf("saved at step 7: %w", ctx.Err())
		}))
	}
	for how, want := range map[string]string{"polite": "exit status 130", "stuck": "signal: interrupt"} {
		cmd := exec.Command(os.Args[0], "-test.run=TestInterrupt$")
		cmd.Env = append(os.Environ(), "EXPERIMENT_INTERRUPT="+how)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
			t.Fatal(err)
		}
		interrupt := func() {
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
		interrupt()
		said := make([]byte, len("interrupted: finishing"))
		if _, err := io.ReadFull(stderr, said); err != nil || string(said) != "interrupted: finishing" {
			t.Fatalf("%s: stderr %q, %v", how, said, err)
		}
		if how == "stuck" {
			time.Sleep(100 * time.Millisecond) // the handler is removed right after the message
			interrupt()
		}
		rest, _ := io.ReadAll(stderr)
		err = cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Error() != want {
			t.Errorf("%s: %v, want %s; stderr %s", how, err, want, rest)
		}
	}
}
