package hub_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/qakd/qakd/pkg/hub"
)

// TestRefusals: each is one line that names what was asked for and what to do, after one request.
func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		status        int
		code, message string
		token         string
		file          bool // answer the file so, else the listing
		want          string
	}{
		"no such repository":  {401, "RepoNotFound", "Repository not found", "", false, "hub: org/model@main: 401 Unauthorized: no such repository, or a private one: check the name, or set HF_TOKEN to a token with access (the hub says: Repository not found)"},
		"with a token":        {404, "RepoNotFound", "", "hf_x", false, "hub: org/model@main: 404 Not Found: no such repository, or a private one: check the name, or set HF_TOKEN to a token with access"},
		"no such revision":    {404, "RevisionNotFound", "Invalid rev id: main", "", false, "hub: org/model@main: 404 Not Found: no such revision (the hub says: Invalid rev id: main)"},
		"no code":             {404, "", "", "", false, "hub: org/model@main: 404 Not Found: no such repository or revision"},
		"no such file":        {404, "EntryNotFound", "", "", true, "hub: org/model@main: model.safetensors: 404 Not Found: no such file in this revision"},
		"bad token":           {401, "", "Invalid credentials in Authorization header", "hf_x", false, "hub: org/model@main: 401 Unauthorized: the hub does not accept this token (HF_TOKEN, or the token file in HF_HOME) (the hub says: Invalid credentials in Authorization header)"},
		"no token":            {401, "", "", "", true, "hub: org/model@main: model.safetensors: 401 Unauthorized: no such repository, or a private one: check the name, or set HF_TOKEN to a token with access"},
		"gated":               {401, "GatedRepo", "", "", true, "hub: org/model@main: model.safetensors: 401 Unauthorized: no access: if the repository is gated, accept its license at URL/org/model and set HF_TOKEN to a token of that account"},
		"gated, with a token": {403, "GatedRepo", "", "hf_x", true, "hub: org/model@main: model.safetensors: 403 Forbidden: the account of this token has no access: if the repository is gated, accept its license at URL/org/model"},
		"forbidden":           {403, "", "", "", false, "hub: org/model@main: 403 Forbidden: no access: if the repository is gated, accept its license at URL/org/model and set HF_TOKEN to a token of that account"},
		"a rude message":      {400, "", "a\u202e\xff \tb" + strings.Repeat("x", 300), "", false, "hub: org/model@main: 400 Bad Request (the hub says: a b" + strings.Repeat("x", 154) + "…)"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c, pauses := client(t, f)
			c.Token = tt.token
			answer := func(w http.ResponseWriter) bool {
				w.Header().Set("X-Error-Code", tt.code)
				w.Header()["X-Error-Message"] = []string{tt.message}
				w.WriteHeader(tt.status)
				return true
			}
			if tt.file {
				f.serve = func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool { return answer(w) }
			} else {
				f.list = func(w http.ResponseWriter, _ *http.Request, _ int) bool { return answer(w) }
			}
			_, err := c.Download(t.Context(), request, nil)
			want := strings.ReplaceAll(tt.want, "URL", f.URL)
			var e *hub.Error
			if err == nil || err.Error() != want || !errors.As(err, &e) || e.Status != tt.status {
				t.Errorf("error\n%v, want\n%s", err, want)
			}
			if len(*pauses) != 0 {
				t.Errorf("retried: %v", *pauses)
			}
			f.clean(t, c)
		})
	}
}

// TestRetryAfter: what the hub asks for is waited, in both forms, unless it is unreasonable.
func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		header   string
		from, to time.Duration // the pause; 0 for an error at once
	}{
		{"7", 7 * time.Second, 7 * time.Second},
		{time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat), 80 * time.Second, 90 * time.Second},
		{"0", time.Second / 2, time.Second},
		{"soon", time.Second / 2, time.Second},
		{"86400", 0, 0},
	} {
		f := newFake(t)
		c, pauses := client(t, f)
		busy := func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", tt.header)
			w.WriteHeader(http.StatusTooManyRequests)
		}
		f.list = func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n == 0 {
				busy(w)
			}
			return n == 0
		}
		f.serve = func(w http.ResponseWriter, _ *http.Request, _ string, n int) bool {
			if n == 0 {
				busy(w)
			}
			return n == 0
		}
		res, err := c.Download(t.Context(), request, nil)
		if tt.to == 0 {
			if err == nil || !strings.Contains(err.Error(), "429 Too Many Requests: asks to come back in 24h0m0s") || len(*pauses) != 0 {
				t.Errorf("error %v, pauses %v", err, *pauses)
			}
			continue
		}
		f.whole(t, c, res, err)
		if len(*pauses) != 2 || (*pauses)[0] < tt.from || (*pauses)[0] > tt.to {
			t.Errorf("%s: pauses %v, want %s to %s", tt.header, *pauses, tt.from, tt.to)
		}
	}
}

// TestRedirects: relative ones are followed with the token, those to another host (here: port) without it, also when
// that host sends the client on.
func TestRedirects(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	c.Token = "hf_secret"
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := r.Header.Get("Authorization"); h != "" {
			t.Errorf("the storage got %q", h)
		}
		if r.URL.Path != "/second" {
			http.Redirect(w, r, "/second", http.StatusTemporaryRedirect)
			return
		}
		if r.Header.Get("Range") != "bytes=1000-" {
			t.Errorf("the storage got Range %q", r.Header.Get("Range"))
		}
		w.Header().Set("Etag", `"of the storage"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(f.files[weights])))
	}))
	defer storage.Close()
	authorized := func(r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hf_secret" {
			t.Errorf("%s: Authorization %q", r.URL, r.Header.Get("Authorization"))
		}
	}
	f.list = func(w http.ResponseWriter, r *http.Request, n int) bool {
		authorized(r)
		return false
	}
	f.serve = func(w http.ResponseWriter, r *http.Request, _ string, n int) bool {
		authorized(r)
		if r.URL.RawQuery == "" {
			http.Redirect(w, r, r.URL.Path+"?renamed", http.StatusTemporaryRedirect)
		} else {
			http.Redirect(w, r, storage.URL+"/first?Signature=x", http.StatusFound)
		}
		return true
	}
	f.partial(t, c, f.files[weights][:1000])
	res, err := c.Download(t.Context(), request, nil)
	f.whole(t, c, res, err)
	for name, tt := range map[string]struct{ to, want string }{
		"forever":  {"/org/model/resolve/" + commit + "/" + weights, "more than 10 in a row"},
		"storage":  {storage.URL + "/gone", "HTTP"},
		"nonsense": {"gopher://x", `unsupported protocol scheme "gopher"`},
	} {
		c, _ := client(t, f)
		f.list = nil
		f.serve = func(w http.ResponseWriter, r *http.Request, _ string, n int) bool {
			http.Redirect(w, r, tt.to, http.StatusFound)
			return true
		}
		if name == "storage" {
			storage.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })
			tt.want = "403 Forbidden: from " + strings.TrimPrefix(storage.URL, "http://") + ", where the hub keeps the content"
		}
		if _, err := c.Download(t.Context(), request, nil); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "Signature") {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
		f.clean(t, c)
	}
}

// TestNoHub: nobody answers, or somebody who is no hub.
func TestNoHub(t *testing.T) {
	f := newFake(t)
	c, pauses := client(t, f)
	f.list = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.Write([]byte("<html>please log in to the hotel's network</html>"))
		return true
	}
	if _, err := c.Download(t.Context(), request, nil); err == nil || !strings.Contains(err.Error(), "is not the JSON that its API has") {
		t.Errorf("error %v", err)
	}
	f.Close()
	_, err := c.Download(t.Context(), request, nil)
	if err == nil || !strings.Contains(err.Error(), "no answer from "+f.URL) || !strings.Contains(err.Error(), "HF_HUB_OFFLINE=1") || len(*pauses) != 5 {
		t.Errorf("error %v, pauses %v", err, *pauses)
	}
}
