package hub

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
)

// maxFetches is how often content is fetched that turns out wrong.
const maxFetches = 3

// transfer brings one file's content into its partial file, and knows the checksum of what is there.
type transfer struct {
	c    *Client
	repo string
	url  string
	f    *File
	path string // the partial file
	out  *os.File
	sum  hash.Hash // of the first have bytes; nil when there is no checksum to compare with
	have int64
	best int64  // most that have ever was: more than this is progress
	etag string // of the answer that the content comes from; "" when an earlier process fetched it
	p    Progress
}

// run returns when the partial file is complete and right. After an error, what came so far is kept for the next run,
// unless it is wrong.
func (t *transfer) run(ctx context.Context) (err error) {
	if t.out, err = os.OpenFile(t.path, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return fsx.Explain("create", t.path, err)
	}
	defer func() { err = errors.Join(err, t.out.Close()) }()
	if err := t.takeUp(ctx); err != nil {
		return err
	}
	for fetches := 1; ; fetches++ {
		note := func(text string) { t.p.Note(*t.f, text) }
		err := t.c.retry(ctx, note, func() (bool, error) {
			if t.have == t.f.Size && t.f.Size > 0 {
				return false, nil
			}
			err := t.attempt(ctx)
			gained := t.have > t.best
			t.best = max(t.best, t.have)
			return gained, err
		})
		if err != nil || t.sum == nil {
			return err
		}
		got := hex.EncodeToString(t.sum.Sum(nil))
		if got == t.f.ID {
			return nil
		}
		if err := t.restart(); err != nil {
			return err
		}
		if t.best = 0; fetches == maxFetches {
			return errors.Join(&ChecksumError{checkOf(t.f.ID), got, t.f.ID, fetches}, os.Remove(t.path))
		}
		note(fmt.Sprintf("the content is wrong (%s %s, want %s): fetched again", checkOf(t.f.ID), got, t.f.ID))
	}
}

// takeUp reads what an earlier run left, to go on with its checksum.
func (t *transfer) takeUp(ctx context.Context) error {
	st, err := t.out.Stat()
	if err != nil {
		return err
	}
	if t.sum = newDigest(t.f); t.sum == nil || st.Size() > t.f.Size {
		return t.restart() // without a checksum, nothing would tell content of two versions apart
	}
	if _, err := io.Copy(t.sum, reader{ctx, t.out}); err != nil {
		return fsx.Explain("read", t.path, err)
	}
	t.have = st.Size()
	t.best = t.have
	return nil
}

// restart throws away what is there.
func (t *transfer) restart() error {
	t.have, t.etag, t.sum = 0, "", newDigest(t.f)
	t.p.Advance(*t.f, 0)
	if err := t.out.Truncate(0); err != nil {
		return fsx.Explain("write", t.path, err)
	}
	return nil
}

// attempt is one request: from where the content ends to the end of the file, or to the next accident.
func (t *transfer) attempt(ctx context.Context) error {
	header := http.Header{}
	if t.have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", t.have))
		if t.etag != "" && !strings.HasPrefix(t.etag, "W/") { // the storage's own tag, which is not the file's id
			header.Set("If-Range", t.etag)
		}
	}
	res, err := t.c.send(ctx, http.MethodGet, t.url, header)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := t.accept(res); err != nil {
		return err
	}
	return t.receive(res.Body)
}

// accept makes the partial file and the answer meet.
func (t *transfer) accept(res *http.Response) error {
	tag := res.Header.Get("Etag")
	offered := t.f.Size
	switch res.StatusCode {
	case http.StatusOK: // all of it: the server ignores ranges, or has other content now
		if t.have > 0 {
			if err := t.restart(); err != nil {
				return err
			}
		}
	case http.StatusPartialContent:
		span := res.Header.Get("Content-Range")
		var first, last int64
		var total string
		_, err := fmt.Sscanf(span, "bytes %d-%d/%s", &first, &last, &total)
		if err != nil || first != t.have || last >= t.f.Size || total != "*" && total != fmt.Sprint(t.f.Size) {
			return t.over(fmt.Errorf("the server sends %q, want bytes %d-%d/%d", oneLine(span), t.have, t.f.Size-1, t.f.Size))
		}
		offered = last - first + 1 // it may be less than was asked for; the next request goes on from there
		if t.etag != "" && tag != t.etag {
			return t.over(fmt.Errorf("the server's content changed from %s to %s on the way", oneLine(t.etag), oneLine(tag)))
		}
	case http.StatusRequestedRangeNotSatisfiable:
		return t.over(fmt.Errorf("the server has nothing from byte %d on, want %d", t.have, t.f.Size-t.have))
	default:
		return t.c.refused(res, t.repo, true)
	}
	t.etag = tag
	if n := res.ContentLength; n >= 0 && n != offered {
		return &networkError{fmt.Errorf("the server offers %d bytes from byte %d on, want %d", n, t.have, offered)}
	}
	return nil
}

// over starts over at the next try.
func (t *transfer) over(why error) error {
	if err := t.restart(); err != nil {
		return err
	}
	return &networkError{why}
}

// receive appends the body. Everything written is in the checksum, whatever error follows.
func (t *transfer) receive(body io.Reader) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if t.have+int64(n) > t.f.Size {
			return t.over(fmt.Errorf("the server sends more than the %d bytes that the file has", t.f.Size))
		}
		if n > 0 {
			if _, err := t.out.WriteAt(buf[:n], t.have); err != nil {
				return fsx.Explain("write", t.path, err)
			}
			if t.sum != nil {
				t.sum.Write(buf[:n]) // a hash returns no error
			}
			t.have += int64(n)
			t.p.Advance(*t.f, t.have)
		}
		switch {
		case err == io.EOF && t.have == t.f.Size:
			return nil
		case err == io.EOF:
			return &networkError{fmt.Errorf("the connection ended at byte %d of %d", t.have, t.f.Size)}
		case err != nil:
			return fmt.Errorf("at byte %d of %d: %w", t.have, t.f.Size, err)
		}
	}
}
