package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// maxAnswer bounds one page of a listing.
const maxAnswer = 64 << 20

// cutOff is the number of files from which on the hub's short listing may be incomplete.
const cutOff = 50_000

// listing is what a commit holds.
type listing struct {
	commit string
	files  []entry
}

// entry is a file as a listing has it. A field that the listing lacks is "", or -1 for the size.
type entry struct {
	path   string
	size   int64
	git    string // object id: git's SHA-1 of the content, or of the pointer file when there is a sha256
	sha256 string // of the content, for files in large file storage
	etag   string // what a HEAD answered, when the listing had neither
}

// id names the content, and its file among the blobs.
func (e entry) id() string { return firstOf(e.sha256, e.git, e.etag) }

func (e entry) known() bool { return e.size >= 0 && e.id() != "" }

// lookup resolves the revision to its commit and lists the files. A short listing comes with the commit; the long one,
// page by page, is asked for when that is missing or may be cut off.
func (c *Client) lookup(ctx context.Context, r Request, note func(string)) (*listing, error) {
	var info struct {
		SHA      string
		Siblings []struct {
			Name   string `json:"rfilename"`
			Size   *int64
			BlobID string
			LFS    *struct{ SHA256 string }
		}
	}
	address := fmt.Sprintf("%s/api/models/%s/revision/%s", c.Endpoint, r.Repo, url.PathEscape(r.revision()))
	if _, err := c.getJSON(ctx, r.Repo, address+"?blobs=true", note, &info); err != nil {
		return nil, err
	}
	if !plainName.MatchString(info.SHA) {
		return nil, fmt.Errorf("the hub names the commit %q, want 40 hexadecimal digits", oneLine(info.SHA))
	}
	l := &listing{commit: info.SHA}
	if len(info.Siblings) == 0 || len(info.Siblings) >= cutOff {
		var err error
		if l.files, err = c.tree(ctx, r.Repo, info.SHA, note); err != nil {
			return nil, err
		}
		return l, l.check()
	}
	for _, s := range info.Siblings {
		e := entry{path: s.Name, size: -1, git: s.BlobID}
		if s.Size != nil {
			e.size = *s.Size
		}
		if s.LFS != nil {
			e.sha256 = s.LFS.SHA256
		}
		l.files = append(l.files, e)
	}
	return l, l.check()
}

// tree lists a commit page by page.
func (c *Client) tree(ctx context.Context, repo, commit string, note func(string)) ([]entry, error) {
	var out []entry
	next := fmt.Sprintf("%s/api/models/%s/tree/%s?recursive=true", c.Endpoint, repo, url.PathEscape(commit))
	for seen := map[string]bool{}; next != ""; {
		if u, err := url.Parse(next); err != nil || !sameOrigin(u, c.Endpoint) || seen[next] {
			return nil, fmt.Errorf("the hub's listing goes on at %q, want a new page of %s", oneLine(next), c.Endpoint)
		}
		seen[next] = true
		var page []struct {
			Type, Path, OID string
			Size            int64
			LFS             *struct{ OID string }
		}
		header, err := c.getJSON(ctx, repo, next, note, &page)
		if err != nil {
			return nil, err
		}
		for _, f := range page {
			if f.Type != "file" {
				continue
			}
			e := entry{path: f.Path, size: f.Size, git: f.OID}
			if f.LFS != nil {
				e.sha256 = f.LFS.OID
			}
			out = append(out, e)
		}
		next = nextPage(header)
	}
	return out, nil
}

var nextLink = regexp.MustCompile(`<([^>]*)>\s*;[^,]*rel="?next"?`)

// nextPage reads the header Link: <URL>; rel="next".
func nextPage(h http.Header) string {
	if m := nextLink.FindStringSubmatch(strings.Join(h.Values("Link"), ",")); m != nil {
		return m[1]
	}
	return ""
}

// complete asks for size and tag of a file where the listing has none, as mirrors' may.
func (c *Client) complete(ctx context.Context, r Request, commit string, e *entry, note func(string)) error {
	return c.retry(ctx, note, func() (bool, error) {
		res, err := c.send(ctx, http.MethodHead, c.fileURL(r.Repo, commit, e.path), nil)
		if err != nil {
			return false, err
		}
		defer res.Body.Close()
		if res.StatusCode >= 400 {
			return false, c.refused(res, r.Repo, true)
		}
		if got := res.Header.Get("X-Repo-Commit"); got != "" && got != commit {
			return false, fmt.Errorf("the hub answers for commit %q, want %s", oneLine(got), commit)
		}
		size := res.Header.Get("X-Linked-Size")
		tag := res.Header.Get("X-Linked-Etag")
		if res.StatusCode < 300 {
			size, tag = firstOf(size, res.Header.Get("Content-Length")), firstOf(tag, res.Header.Get("Etag"))
		}
		if e.id() == "" {
			e.etag = strings.Trim(strings.TrimPrefix(tag, "W/"), `"`)
		}
		if e.size, err = strconv.ParseInt(size, 10, 64); err != nil || e.size < 0 || !plainName.MatchString(e.id()) {
			return false, fmt.Errorf("the hub gives size %q and tag %q, want a number of bytes and a checksum", oneLine(size), oneLine(tag))
		}
		return false, nil
	})
}

// getJSON decodes an answer of the API into v.
func (c *Client) getJSON(ctx context.Context, repo, address string, note func(string), v any) (http.Header, error) {
	var header http.Header
	var body []byte
	err := c.retry(ctx, note, func() (bool, error) {
		res, err := c.send(ctx, http.MethodGet, address, nil)
		if err != nil {
			return false, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return false, c.refused(res, repo, false)
		}
		header = res.Header
		body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		return false, err
	})
	var network *networkError
	if errors.As(err, &network) {
		return nil, fmt.Errorf("no answer from %s: %w; HF_HUB_OFFLINE=1 uses what the cache holds", c.Endpoint, err)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("the hub's listing is not the JSON that its API has: %w", err)
	}
	return header, nil
}

// check holds a listing to what file names and checksums may be: servers and files are not trusted.
func (l *listing) check() error {
	seen := map[string]bool{}
	for _, e := range l.files {
		switch {
		case seen[e.path]:
			return fmt.Errorf("the listing has file %q twice", oneLine(e.path))
		case e.id() != "" && !plainName.MatchString(e.id()):
			return fmt.Errorf("the listing gives file %q the id %q, want a hexadecimal checksum", oneLine(e.path), oneLine(e.id()))
		}
		if err := checkPath(e.path); err != nil {
			return fmt.Errorf("the listing has file %q: %w", oneLine(e.path), err)
		}
		seen[e.path] = true
	}
	if len(l.files) == 0 {
		return errors.New("the revision holds no files")
	}
	return nil
}
