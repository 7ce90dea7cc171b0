package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	maxRetries = 5                // in a row without anything new
	firstPause = time.Second      // doubles with each retry
	maxPause   = 30 * time.Second // of our own choice
	maxAsked   = 10 * time.Minute // longest Retry-After that is waited out
)

// networkError is a failure between the two machines, which may be gone the next time.
type networkError struct{ err error }

func (e *networkError) Error() string { return e.err.Error() }
func (e *networkError) Unwrap() error { return e.err }

var (
	errStalled  = errors.New("the connection stalled")
	errRedirect = errors.New("bad redirect")
)

// retry calls try until it succeeds, fails for good, or fails maxRetries+1 times in a row. A try that gained something
// before it failed starts the count anew. note hears of each pause.
func (c *Client) retry(ctx context.Context, note func(string), try func() (gained bool, err error)) error {
	for failed := 0; ; {
		gained, err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var status *statusError
		var network *networkError
		var asked time.Duration
		switch {
		case errors.As(err, &status) && status.temporary():
			asked = status.after
		case errors.As(err, &network):
		default:
			return err
		}
		if gained {
			failed = 0
		}
		if failed++; failed > maxRetries {
			return fmt.Errorf("%w (tried %d times)", err, failed)
		}
		if asked > maxAsked {
			return fmt.Errorf("%w: asks to come back in %s", err, asked.Round(time.Second))
		}
		wait := max(asked, pause(failed))
		note(fmt.Sprintf("%v: retry %d of %d in %s", err, failed, maxRetries, wait.Round(100*time.Millisecond)))
		if err := c.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// pause doubles from retry to retry; its second half is random, so that clients that failed together do not come back
// together.
func pause(failed int) time.Duration {
	d := min(firstPause<<(failed-1), maxPause)
	return d/2 + rand.N(d/2+1)
}

// retryAfter reads the header's two forms, seconds and a date; 0 for neither.
func retryAfter(header string, now time.Time) time.Duration {
	if s, err := strconv.ParseInt(header, 10, 32); err == nil {
		return time.Duration(max(s, 0)) * time.Second
	}
	if t, err := http.ParseTime(header); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// transportError classifies what http.Client and response bodies return. The URL is left out of the message: that of
// the storage is signed, long, and says nothing.
func transportError(ctx context.Context, err error) error {
	var in *url.Error
	if errors.As(err, &in) {
		err = in.Err
	}
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(context.Cause(ctx), errStalled):
		return &networkError{context.Cause(ctx)}
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errRedirect), errors.As(err, &cert):
		return err
	}
	return &networkError{err}
}
