package hub

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// send makes one request. The answer's body fails when no byte comes for c.stall, and must be closed. Errors are
// *networkError where another try may help.
func (c *Client) send(ctx context.Context, method, address string, header http.Header) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.stall, func() { cancel(fmt.Errorf("%w: no data for %s", errStalled, c.stall)) })
	stop := func() { timer.Stop(); cancel(nil) }
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		stop()
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", "qakd-go")
	req.Header.Set("Accept-Encoding", "identity")
	if c.Token != "" && sameOrigin(req.URL, c.Endpoint) {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		err = transportError(ctx, err)
		stop()
		return nil, err
	}
	res.Body = &watched{res.Body, ctx, timer, c.stall, stop}
	return res, nil
}

// watched is a body whose every read winds up the clock that would end it.
type watched struct {
	body  io.ReadCloser
	ctx   context.Context // of this request alone
	timer *time.Timer
	stall time.Duration
	stop  func()
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.body.Read(p)
	w.timer.Reset(w.stall)
	if err != nil && err != io.EOF {
		err = transportError(w.ctx, err)
	}
	return n, err
}

func (w *watched) Close() error {
	w.stop()
	return w.body.Close()
}

// redirect is the policy of http.Client. It takes the token out as soon as the origin (port included) is another one,
// which http.Client itself does not for subdomains and ports. A HEAD stays: the hub's own answer has the facts, the
// storage that it points to does not.
func redirect(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) >= 10 {
		return fmt.Errorf("%w: more than 10 in a row", errRedirect)
	}
	if first.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("%w from https to %s://%s", errRedirect, req.URL.Scheme, req.URL.Host)
	}
	for _, r := range append(via[1:len(via):len(via)], req) {
		if r.URL.Scheme == first.Scheme && r.URL.Host == first.Host {
			continue
		}
		if req.Method == http.MethodHead {
			return http.ErrUseLastResponse
		}
		req.Header.Del("Authorization")
	}
	return nil
}

func sameOrigin(u *url.URL, endpoint string) bool {
	e, err := url.Parse(endpoint)
	return err == nil && u.Scheme == e.Scheme && u.Host == e.Host
}

// escapePath escapes each part of a path, and leaves the slashes.
func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i, s := range parts {
		parts[i] = url.PathEscape(s)
	}
	return strings.Join(parts, "/")
}

// fileURL is where a commit's file is.
func (c *Client) fileURL(repo, commit, file string) string {
	return fmt.Sprintf("%s/%s/resolve/%s/%s", c.Endpoint, repo, url.PathEscape(commit), escapePath(file))
}
