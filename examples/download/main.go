// Download fetches a model from the Hugging Face hub, into the cache that its Python client uses or into a plain folder.
//
//	go run ./examples/download
//	go run ./examples/download -repo Qwen/Qwen3-TTS-12Hz-0.6B-Base -include '*.json,speech_tokenizer/' -dry-run
//	go run ./examples/download -out models/base
//
// It shows a bar for each file, and at the end what was fetched and the folder that -model of the other programs takes.
// Size and checksum of each file are those that the hub lists. Interrupted, by Ctrl-C or a lost connection, it goes on
// from there the next time. HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honored.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/hub"
	"github.com/qakd/qakd/pkg/report"
)

// options is the command line.
type options struct {
	hub.Request
	dryRun, asJSON bool
}

func main() {
	fs := flag.NewFlagSet("download", flag.ContinueOnError)
	var o options
	o.register(fs)
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, os.Stdout, os.Stderr, o) }))
}

func (o *options) register(fs *flag.FlagSet) {
	fs.StringVar(&o.Repo, "repo", hub.DefaultRepo, "repository: `organization/name`")
	fs.StringVar(&o.Revision, "revision", hub.DefaultRevision, "`branch`, tag or commit")
	fs.Func("include", "`pattern` of files to fetch, such as '*.json' or 'speech_tokenizer/' (repeatable, or several with commas; default: all)", list(&o.Include))
	fs.Func("exclude", "`pattern` of files to leave out (likewise)", list(&o.Exclude))
	fs.StringVar(&o.Folder, "out", "", "`folder` for plain files instead of the cache; files of the same names are replaced")
	fs.BoolVar(&o.dryRun, "dry-run", false, "list the files and what of them is here, then stop")
	fs.BoolVar(&o.asJSON, "json", false, "print the result as one JSON object on stdout")
}

// list appends the comma-separated patterns of a flag.
func list(to *[]string) func(string) error {
	return func(s string) error {
		*to = append(*to, strings.Split(s, ",")...)
		return nil
	}
}

func run(ctx context.Context, stdout, stderr io.Writer, o options) error {
	if err := o.Validate(); err != nil {
		return &experiment.UsageError{Err: err}
	}
	client, err := hub.NewClient()
	if err != nil {
		return err
	}
	work := client.Download
	if o.dryRun {
		work = client.Plan
	}
	progress := newBars(stderr)
	result, err := work(ctx, o.Request, progress)
	progress.close()
	if err != nil {
		return err
	}
	if o.asJSON {
		return report.JSON(stdout, result)
	}
	return show(stdout, result, o.dryRun)
}

// state says how far a file is, and how much of it was here before.
func state(f hub.File) string {
	switch f.State {
	case hub.Partial:
		return fmt.Sprintf("partial, %s here", report.Bytes(f.Have))
	case hub.Resumed:
		return fmt.Sprintf("resumed from %s", report.Bytes(f.Have))
	}
	return string(f.State)
}

func show(w io.Writer, r *hub.Result, dryRun bool) error {
	t := report.Table{Title: fmt.Sprintf("%s at %s (%s)", r.Repo, r.Revision, r.Commit), Columns: []string{"file", "size", "check", "state"}}
	for _, f := range r.Files {
		t.Add(f.Path, report.Bytes(f.Size), f.Check, state(f))
	}
	if err := t.Text(w); err != nil {
		return err
	}
	all, missing := r.Size()
	what := "fetched"
	if dryRun {
		what = "to be fetched"
	}
	_, err := fmt.Fprintf(w, "%d files, %s, of which %s %s\n%s\n", len(r.Files), report.Bytes(all), report.Bytes(missing), what, r.Dir)
	return err
}
