package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/qakd/qakd/internal/fsx"
)

// DefaultEndpoint is the public hub, which HF_ENDPOINT replaces.
const DefaultEndpoint = "https://huggingface.co"

// Client knows a hub and a cache. Make it with NewClient; it is safe for concurrent use.
type Client struct {
	Endpoint string // scheme and host, with a path if the hub lies below one; no slash at the end
	Cache    string // folder of all cached repositories
	Token    string // sent to Endpoint's host; "" for none
	Offline  bool   // use the cache only, no network at all

	http    *http.Client
	stall   time.Duration // a connection without a byte for so long is given up
	sleep   func(ctx context.Context, d time.Duration) error
	free    func(dir string) (bytes uint64, ok bool)
	symlink func(target, name string) error
}

// NewClient reads the environment (see the package comment). An endpoint that is no URL, a token that no header can
// carry and a token file that cannot be read are errors.
func NewClient() (*Client, error) {
	home, err := homeFolder()
	if err != nil {
		return nil, err
	}
	c := &Client{
		Endpoint: strings.TrimRight(firstOf(os.Getenv("HF_ENDPOINT"), DefaultEndpoint), "/"),
		Cache:    firstOf(expand(os.Getenv("HF_HUB_CACHE")), expand(os.Getenv("HUGGINGFACE_HUB_CACHE")), filepath.Join(home, "hub")),
		Offline:  isTrue(firstOf(os.Getenv("HF_HUB_OFFLINE"), os.Getenv("TRANSFORMERS_OFFLINE"))),
		stall:    30 * time.Second,
		sleep:    sleep,
		free:     fsx.DiskFree,
		symlink:  os.Symlink,
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("hub: HF_ENDPOINT is %q, want a URL such as %s", c.Endpoint, DefaultEndpoint)
	}
	if c.Token, err = token(home); err != nil {
		return nil, err
	}
	c.http = &http.Client{CheckRedirect: redirect}
	if t, ok := http.DefaultTransport.(*http.Transport); ok { // unless the program has put its own there
		t = t.Clone()
		t.DisableCompression = true // offsets and sizes are those of the plain bytes
		c.http.Transport = t
	}
	return c, nil
}

// homeFolder is $HF_HOME, else huggingface in the user's cache folder.
func homeFolder() (string, error) {
	if dir := expand(os.Getenv("HF_HOME")); dir != "" {
		return dir, nil
	}
	if dir := expand(os.Getenv("XDG_CACHE_HOME")); dir != "" {
		return filepath.Join(dir, "huggingface"), nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("hub: neither HF_HOME nor a home folder says where the cache is: %w", err)
	}
	return filepath.Join(user, ".cache", "huggingface"), nil
}

// token is HF_TOKEN, else what the token file holds; "" when there is none, or when it shall not be used unasked.
func token(home string) (string, error) {
	if isTrue(os.Getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		return "", nil
	}
	source := "HF_TOKEN"
	t := strings.TrimSpace(firstOf(os.Getenv(source), os.Getenv("HUGGING_FACE_HUB_TOKEN")))
	if t == "" {
		source = firstOf(expand(os.Getenv("HF_TOKEN_PATH")), filepath.Join(home, "token"))
		data, err := os.ReadFile(source)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("hub: token file: %w", err)
		}
		t = strings.TrimSpace(string(data))
	}
	if strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("hub: the token in %s has spaces, line breaks or other characters that no token has", source)
	}
	return t, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// isTrue reads a switch as the Python client does.
func isTrue(s string) bool {
	switch strings.ToUpper(s) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// expand replaces $NAME, and ~ at the beginning.
func expand(path string) string {
	path = os.ExpandEnv(path)
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/') {
		if user, err := os.UserHomeDir(); err == nil { // without a home, ~ stays a name, as in a shell
			return user + rest
		}
	}
	return path
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
