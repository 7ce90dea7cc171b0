package hub

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// ErrNotCached is wrapped by the error of an offline request that the cache cannot serve.
var ErrNotCached = errors.New("not in the cache")

// Error says which repository, revision and file a failure is about.
type Error struct {
	Repo, Revision string
	File           string // "" for the revision as a whole
	Status         int    // HTTP status; 0 when no answer of the hub is the cause
	Err            error
}

func (e *Error) Error() string {
	if e.File == "" {
		return fmt.Sprintf("hub: %s@%s: %v", e.Repo, e.Revision, e.Err)
	}
	return fmt.Sprintf("hub: %s@%s: %s: %v", e.Repo, e.Revision, e.File, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ChecksumError reports content that stayed wrong however often it was fetched.
type ChecksumError struct {
	Check     string // sha256 or git-sha1
	Got, Want string // hexadecimal
	Tries     int
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s is %s, want %s (fetched %d times; nothing of it was kept)", e.Check, e.Got, e.Want, e.Tries)
}

// statusError is an answer that is neither content nor a redirect.
type statusError struct {
	status int
	text   string
	after  time.Duration // what Retry-After asks for
}

func (e *statusError) Error() string { return e.text }

// temporary tells whether the same request may succeed later.
func (e *statusError) temporary() bool {
	switch e.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return e.status >= 500
}

// refused explains an answer: status, cause, what to do. file tells whether a file was asked for, or a revision.
func (c *Client) refused(res *http.Response, repo string, file bool) *statusError {
	e := &statusError{status: res.StatusCode, after: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	code, said := res.Header.Get("X-Error-Code"), oneLine(res.Header.Get("X-Error-Message"))
	why := ""
	switch {
	case !sameOrigin(res.Request.URL, c.Endpoint):
		why = "from " + res.Request.URL.Host + ", where the hub keeps the content"
	case code == "GatedRepo", e.status == http.StatusForbidden:
		why = fmt.Sprintf("no access: if the repository is gated, accept its license at %s/%s and set HF_TOKEN to a token of that account", c.Endpoint, repo)
		if c.Token != "" {
			why = fmt.Sprintf("the account of this token has no access: if the repository is gated, accept its license at %s/%s", c.Endpoint, repo)
		}
	case e.status == http.StatusUnauthorized && c.Token != "" && code != "RepoNotFound":
		why = "the hub does not accept this token (HF_TOKEN, or the token file in HF_HOME)"
	case e.status == http.StatusUnauthorized, code == "RepoNotFound":
		why = "no such repository, or a private one: check the name, or set HF_TOKEN to a token with access"
	case code == "RevisionNotFound":
		why = "no such revision"
	case e.status == http.StatusNotFound && file:
		why = "no such file in this revision"
	case e.status == http.StatusNotFound:
		why = "no such repository or revision"
	}
	e.text = strings.TrimSpace(fmt.Sprintf("%d %s", e.status, http.StatusText(e.status)))
	if why != "" {
		e.text += ": " + why
	}
	if said != "" {
		e.text += fmt.Sprintf(" (the hub says: %s)", said)
	}
	return e
}

// oneLine makes a header printable: servers are not trusted.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, " "))
	if r := []rune(s); len(r) > 160 {
		s = string(r[:160]) + "…"
	}
	return strings.Join(strings.Fields(s), " ")
}
