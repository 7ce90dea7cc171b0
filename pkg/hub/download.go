package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/qakd/qakd/internal/fsx"
)

// workers is how many files are fetched at once: storage limits the speed of a connection.
const workers = 4

// job is a request, resolved.
type job struct {
	c       *Client
	req     Request
	listing *listing
	place   place
	p       Progress
	result  *Result
}

// Download fetches a revision with the client that the environment describes. p may be nil.
func Download(ctx context.Context, r Request, p Progress) (*Result, error) {
	c, err := NewClient()
	if err != nil {
		return nil, err
	}
	return c.Download(ctx, r, p)
}

// Plan resolves the request and tells what of it is here, without writing anything.
func (c *Client) Plan(ctx context.Context, r Request, p Progress) (*Result, error) {
	j, err := c.newJob(ctx, r, p)
	if err != nil {
		return nil, err
	}
	return j.result, nil
}

// Download fetches what of the request is not here yet; p, which may be nil, hears of each file. The error is an *Error
// that names the file; it wraps ErrNotCached for an offline miss, *ChecksumError, and ctx.Err() after an interruption.
// Whatever the error, files under their final names are whole and right, and what came of others is kept for the next
// call.
func (c *Client) Download(ctx context.Context, r Request, p Progress) (*Result, error) {
	j, err := c.newJob(ctx, r, p)
	if err != nil {
		return nil, err
	}
	if err := j.run(ctx); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("interrupted; the next run goes on from here: %w", ctx.Err())
		}
		return nil, r.fail("", err)
	}
	return j.result, nil
}

func (c *Client) newJob(ctx context.Context, r Request, p Progress) (*job, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if p == nil {
		p = silent{}
	}
	j := &job{c: c, req: r, p: p}
	if err := j.resolve(ctx); err != nil {
		return nil, r.fail("", err)
	}
	for i := range j.result.Files {
		if err := j.look(ctx, &j.result.Files[i]); err != nil {
			return nil, r.fail(j.result.Files[i].Path, err)
		}
	}
	return j, nil
}

// resolve finds the commit and the files that are wanted of it.
func (j *job) resolve(ctx context.Context) (err error) {
	c, r := j.c, j.req
	note := func(text string) { j.p.Note(File{}, text) }
	switch {
	case c.Offline && r.Folder != "":
		return errors.New("HF_HUB_OFFLINE is set, and a plain folder is filled from the hub only")
	case c.Offline:
		j.listing, err = c.cached(r)
	default:
		if commitName.MatchString(r.Revision) { // a commit never changes; a listing that cannot be read is made anew
			j.listing, _ = c.cacheOf(r.Repo, r.Revision).readTree()
		}
		if j.listing == nil {
			j.listing, err = c.lookup(ctx, r, note)
		}
	}
	if err != nil {
		return err
	}
	if j.place = c.cacheOf(r.Repo, j.listing.commit); r.Folder != "" {
		j.place = folder{r.Folder}
	}
	chosen, err := choose(j.listing.files, r)
	if err != nil {
		return err
	}
	j.result = &Result{Repo: r.Repo, Revision: r.revision(), Commit: j.listing.commit, Dir: j.place.dir()}
	for _, e := range chosen {
		if !e.known() && !c.Offline {
			if err := c.complete(ctx, r, j.listing.commit, &e, note); err != nil {
				return r.fail(e.path, err)
			}
		}
		if r.Folder != "" && strings.HasPrefix(e.path+"/", workFolder+"/") {
			return r.fail(e.path, errors.New("it would lie in the folder that is kept for interrupted transfers"))
		}
		j.result.Files = append(j.result.Files, File{Path: e.path, Size: e.size, ID: e.id(), Check: checkOf(e.id())})
	}
	return nil
}

// look finds what of a file is here.
func (j *job) look(ctx context.Context, f *File) error {
	if f.Size < 0 { // a link of the cache that leads nowhere
		f.State = Missing
		return nil
	}
	if ok, err := j.place.has(ctx, f); err != nil {
		return err
	} else if ok {
		f.State, f.Have = Cached, f.Size
		return nil
	}
	j.part(f)
	return nil
}

// part finds what an interrupted transfer has left of a file.
func (j *job) part(f *File) {
	f.State, f.Have = Missing, 0
	_, partial, _ := j.place.spot(f)
	if st, err := os.Stat(partial); err == nil && st.Size() > 0 && st.Size() <= f.Size {
		f.State, f.Have = Partial, st.Size()
	}
}

// run fetches what is missing, gives everything its name, and the revision last. A cache that cannot be written to may
// serve a request that lacks nothing.
func (j *job) run(ctx context.Context) error {
	missing := j.missing()
	if j.c.Offline {
		if len(missing) > 0 {
			return fmt.Errorf("%d of %d files are %w %s, and HF_HUB_OFFLINE forbids to fetch them: %s",
				len(missing), len(j.result.Files), ErrNotCached, j.c.Cache, strings.Join(missing[:min(len(missing), 8)], ", "))
		}
		return j.fetchAll(ctx) // only gives names
	}
	if err := j.space(); err != nil {
		return err
	}
	optional := func(err error) error {
		if err != nil && len(missing) == 0 {
			j.p.Note(File{}, fmt.Sprintf("everything is here, but the cache could not be brought up to date: %v", err))
			return nil
		}
		return err
	}
	if err := optional(j.place.keep(j.listing)); err != nil {
		return err
	}
	if err := j.fetchAll(ctx); err != nil {
		return err
	}
	return optional(j.place.name(j.req.revision()))
}

func (j *job) missing() []string {
	var out []string
	for _, f := range j.result.Files {
		if f.State != Cached {
			out = append(out, f.Path)
		}
	}
	return out
}

// space refuses what the disk cannot take, before the first byte.
func (j *job) space() error {
	var need int64
	counted := map[string]bool{}
	for _, f := range j.result.Files {
		final, _, _ := j.place.spot(&f)
		if !counted[final] {
			need += f.Size - f.Have
		}
		counted[final] = true
	}
	dir := j.place.dir()
	for { // the nearest folder that exists
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	if free, ok := j.c.free(dir); ok && uint64(need) > free {
		return fmt.Errorf("%d MiB are to be fetched, but %s has %d MiB free", need>>20+1, dir, free>>20)
	}
	return nil
}

// fetchAll works on several files at once; the first error stops the others.
func (j *job) fetchAll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan *File)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for f := range queue {
				if err := j.fetch(ctx, f); err != nil {
					cancel(j.req.fail(f.Path, err)) // only the first one counts
				}
			}
		})
	}
	for i := range j.result.Files {
		if ctx.Err() == nil {
			queue <- &j.result.Files[i]
		}
	}
	close(queue)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// fetch brings one file to its place.
func (j *job) fetch(ctx context.Context, f *File) (err error) {
	if f.State == Cached {
		return j.place.show(f)
	}
	final, partial, lock := j.place.spot(f)
	j.p.Begin(*f)
	defer func() {
		if err != nil {
			j.part(f)
		}
		j.p.End(*f)
	}()
	held, err := fsx.LockFile(ctx, lock, func() { j.p.Note(*f, "waiting: another download fetches it") })
	if err != nil {
		return err
	}
	defer held.Release()                   // closing a lock file loses nothing
	if err := j.look(ctx, f); err != nil { // things may have changed meanwhile
		return err
	}
	if f.State != Cached {
		if err := j.transfer(ctx, f, final, partial); err != nil {
			return err
		}
	}
	return j.place.show(f)
}

func (j *job) transfer(ctx context.Context, f *File, final, partial string) error {
	for _, path := range []string{final, partial} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fsx.Explain("create", filepath.Dir(path), err)
		}
	}
	t := &transfer{c: j.c, repo: j.req.Repo, url: j.c.fileURL(j.req.Repo, j.listing.commit, f.Path), f: f, path: partial, p: j.p}
	if err := t.run(ctx); err != nil {
		return err
	}
	if err := fsx.Move(partial, final); err != nil {
		return err
	}
	if f.State = Fetched; f.Have > 0 {
		f.State = Resumed
	}
	return nil
}
