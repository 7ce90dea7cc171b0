package experiment

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes of all programs.
const (
	ExitOK          = 0
	ExitFailed      = 1   // the work failed
	ExitUsage       = 2   // the command line was wrong
	ExitInterrupted = 130 // Ctrl-C; what was done so far is saved
)

// UsageError marks an error of the command line.
type UsageError struct{ Err error }

// Error is the message of the wrapped error.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef formats a UsageError.
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// ExitCode maps what a program returned to its exit code. An error that wraps
// context.Canceled is an interruption.
func ExitCode(err error) int {
	var usage *UsageError
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.As(err, &usage):
		return ExitUsage
	}
	return ExitFailed
}

// Main parses args, runs the program and returns its exit code; main is
//
//	os.Exit(experiment.Main(fs, os.Args[1:], run))
//
// The context ends at the first Ctrl-C or SIGTERM: the program finishes its
// step, saves and returns an error that wraps ctx.Err(). A second Ctrl-C kills.
// An error is one message on fs.Output() (stderr unless set), after the
// program's name; stdout is left to the result.
func Main(fs *flag.FlagSet, args []string, run func(ctx context.Context) error) int {
	return MainArgs(fs, args, func(ctx context.Context, rest []string) error {
		if len(rest) > 0 {
			return Usagef("unexpected argument %q (flags come as -name value)", rest[0])
		}
		return run(ctx)
	})
}

// MainArgs is Main for a program that takes arguments behind its flags. A flag
// among them is an error, not an argument.
func MainArgs(fs *flag.FlagSet, args []string, run func(ctx context.Context, args []string) error) int {
	fs.Init(fs.Name(), flag.ContinueOnError)
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return ExitOK
	case err != nil: // the flag package has printed it
		return ExitUsage
	}
	err := stray(fs)
	if err == nil {
		ctx, stop := interruptible(fs.Output())
		err = run(ctx, fs.Args())
		stop()
	}
	if err != nil { // a package of the program's name has put that name in front already
		fmt.Fprintf(fs.Output(), "%s: %s\n", fs.Name(), strings.TrimPrefix(err.Error(), fs.Name()+": "))
	}
	return ExitCode(err)
}

// stray is an error for a flag behind an argument, where the flag package does
// not see it.
func stray(fs *flag.FlagSet) error {
	for i, arg := range fs.Args() {
		name, dashed := strings.CutPrefix(arg, "-")
		name, _, _ = strings.Cut(strings.TrimPrefix(name, "-"), "=")
		if i > 0 && dashed && fs.Lookup(name) != nil {
			return Usagef("flag %s stands behind argument %q, want flags first", arg, fs.Arg(0))
		}
	}
	return nil
}

// interruptible returns a context that ends at the first signal, and says so
// on w; the handler is then removed, so that a second signal kills.
func interruptible(w io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			fmt.Fprintln(w, "interrupted: finishing the step and saving (press Ctrl-C again to stop at once)")
			signal.Stop(signals)
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}
