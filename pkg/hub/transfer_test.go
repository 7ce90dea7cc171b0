package hub_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/qakd/qakd/pkg/hub"
)

const weights = "model.safetensors"

var request = hub.Request{Repo: repo, Include: []string{weights}}

// cut sends the header for all of body and then only the first n bytes of it.
func cut(w http.ResponseWriter, status int, body []byte, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	w.Write(body[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler) // the server closes the connection
}

// from is the offset that a request asks for.
func from(r *http.Request) (n int) {
	fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &n)
	return n
}

// TestDropped: a server that breaks off half-way of what is left, again and again, and once with a 503 in between.
func TestDropped(t *testing.T) {
	f := newFake(t)
	c, pauses := client(t, f)
	f.serve = func(w http.ResponseWriter, r *http.Request, file string, n int) bool {
		b := f.files[file]
		if n == 4 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		if n > 12 {
			return false
		}
		at := from(r)
		status := http.StatusOK
		if at > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(b)-1, len(b)))
			status = http.StatusPartialContent
		}
		cut(w, status, b[at:], (len(b)-at+1)/2)
		return true
	}
	res, err := c.Download(t.Context(), request, nil)
	f.whole(t, c, res, err)
	if len(*pauses) != 13 || f.count(contentPath(weights)) != 14 || states(res)[weights] != hub.Fetched {
		t.Errorf("%d pauses, %d requests, state %s", len(*pauses), f.count(contentPath(weights)), states(res)[weights])
	}
	for i, line := range f.log[2:] {
		if !strings.Contains(line, "bytes=") {
			t.Errorf("request %d does not resume: %s", i+1, line)
		}
	}
	for i, d := range *pauses { // each drop brought something, so that the pauses do not grow, but for the 503
		if most := time.Second; d > most && i != 4 || d < most/2 {
			t.Errorf("pause %d is %s", i, d)
		}
	}
}

// TestGivesUp: an answer without progress is retried five times with growing pauses; then the part is kept.
func TestGivesUp(t *testing.T) {
	for name, serve := range map[string]func(f *fake) func(http.ResponseWriter, *http.Request, string, int) bool{
		"500": func(*fake) func(http.ResponseWriter, *http.Request, string, int) bool {
			return func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool { w.WriteHeader(500); return true }
		},
		"ignores Range and breaks off": func(f *fake) func(http.ResponseWriter, *http.Request, string, int) bool {
			return func(w http.ResponseWriter, _ *http.Request, file string, _ int) bool {
				cut(w, 200, f.files[file], 1000)
				return true
			}
		},
		"short Content-Length": func(f *fake) func(http.ResponseWriter, *http.Request, string, int) bool {
			return func(w http.ResponseWriter, _ *http.Request, file string, _ int) bool {
				w.Header().Set("Content-Length", "5000")
				w.Write(f.files[file][:5000])
				return true
			}
		},
		"long Content-Length": func(f *fake) func(http.ResponseWriter, *http.Request, string, int) bool {
			return func(w http.ResponseWriter, _ *http.Request, file string, _ int) bool {
				w.Header().Set("Content-Length", "300008")
				w.Write(append(f.files[file], 1))
				return true
			}
		},
		"no length, too little": func(f *fake) func(http.ResponseWriter, *http.Request, string, int) bool {
			return func(w http.ResponseWriter, _ *http.Request, file string, _ int) bool {
				w.(http.Flusher).Flush()
				w.Write(f.files[file][:5000])
				return true
			}
		},
		"no length, too much": func(f *fake) func(http.ResponseWriter, *http.Request, string, int) bool {
			return func(w http.ResponseWriter, _ *http.Request, file string, _ int) bool {
				w.(http.Flusher).Flush()
				w.Write(append(f.files[file], 1))
				return true
			}
		},
		"a range that was not asked for": func(f *fake) func(http.ResponseWriter, *http.Request, string, int) bool {
			return func(w http.ResponseWriter, _ *http.Request, file string, _ int) bool {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 7-9/%d", len(f.files[file])))
				w.WriteHeader(206)
				w.Write(f.files[file][7:10])
				return true
			}
		},
		"416": func(f *fake) func(http.ResponseWriter, *http.Request, string, int) bool {
			return func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool { w.WriteHeader(416); return true }
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c, pauses := client(t, f)
			f.serve = serve(f)
			_, err := c.Download(t.Context(), request, nil)
			if err == nil || !strings.HasPrefix(err.Error(), "hub: org/model@main: model.safetensors: ") || !strings.Contains(err.Error(), "tried 6 times") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v", err)
			}
			t.Log(err)
			if n := len(*pauses); n < 5 || n > 6 || (*pauses)[n-1] < 8*time.Second || (*pauses)[n-1] > 16*time.Second {
				t.Errorf("pauses %v", *pauses)
			}
			f.clean(t, c)
			f.serve = nil
			res, err := c.Download(t.Context(), request, nil)
			f.whole(t, c, res, err)
		})
	}
}

// TestFlippedBit: wrong content is never kept. Once wrong, it is fetched again; always wrong, it is an error.
func TestFlippedBit(t *testing.T) {
	for _, file := range []string{weights, "config.json"} {
		for _, times := range []int{1, 2, 100} {
			f := newFake(t)
			c, _ := client(t, f)
			f.serve = func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
				if n >= times {
					return false
				}
				wrong := []byte(string(f.files[name]))
				wrong[len(wrong)/3] ^= 4
				w.Write(wrong)
				return true
			}
			res, err := c.Download(t.Context(), hub.Request{Repo: repo, Include: []string{file}}, nil)
			if times < 3 {
				f.whole(t, c, res, err)
				continue
			}
			var sum *hub.ChecksumError
			if !errors.As(err, &sum) || sum.Want != id(file, f.files[file]) || sum.Tries != 3 || f.count(contentPath(file)) != 3 {
				t.Errorf("%s: error %v, %d requests", file, err, f.count(contentPath(file)))
			}
			f.clean(t, c)
			if left, _ := filepath.Glob(filepath.Join(c.Cache, "models--org--model", "blobs", "*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	}
}

// TestResume: what an earlier run left is taken up, if it is the beginning of the file, and replaced if it is not.
func TestResume(t *testing.T) {
	f := newFake(t)
	all := f.files[weights]
	wrong := []byte(string(all[:1000]))
	wrong[3] ^= 1
	for name, tt := range map[string]struct {
		left   []byte
		ranges []string
		state  hub.State
	}{
		"a part":         {all[:1000], []string{"bytes=1000-"}, hub.Resumed},
		"all":            {all, nil, hub.Resumed},
		"nothing":        {nil, []string{""}, hub.Fetched},
		"a wrong part":   {wrong, []string{"bytes=1000-", ""}, hub.Resumed},
		"too much":       {append(all[:len(all):len(all)], 0), []string{""}, hub.Fetched},
		"all, but wrong": {append([]byte{all[0] ^ 1}, all[1:]...), []string{""}, hub.Resumed},
	} {
		t.Run(name, func(t *testing.T) {
			c, pauses := client(t, f)
			f.log = nil
			path := f.partial(t, c, tt.left)
			res, err := c.Download(t.Context(), request, nil)
			f.whole(t, c, res, err)
			var got []string
			for _, line := range f.log {
				if rest, ok := strings.CutPrefix(line, contentPath(weights)); ok {
					got = append(got, strings.TrimSpace(rest))
				}
			}
			if strings.Join(got, ",") != strings.Join(tt.ranges, ",") || states(res)[weights] != tt.state || len(*pauses) != 0 {
				t.Errorf("ranges %q, state %s, pauses %v; want %q, %s", got, states(res)[weights], *pauses, tt.ranges, tt.state)
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the partial file is still there: %v", err)
			}
		})
	}
}

// TestChangedOnTheWay: the storage has other content when the transfer resumes, whether the server heeds If-Range or not.
func TestChangedOnTheWay(t *testing.T) {
	for _, heeds := range []bool{true, false} {
		f := newFake(t)
		c, _ := client(t, f)
		f.serve = func(w http.ResponseWriter, r *http.Request, file string, n int) bool {
			b := f.files[file]
			switch {
			case n == 0: // the old content
				w.Header().Set("Etag", `"old"`)
				cut(w, 200, make([]byte, len(b)), 5000)
			case n == 1 && !heeds:
				if r.Header.Get("If-Range") != `"old"` {
					t.Errorf("If-Range is %q", r.Header.Get("If-Range"))
				}
				w.Header().Set("Etag", `"new"`)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 5000-%d/%d", len(b)-1, len(b)))
				w.WriteHeader(206)
				w.Write(b[5000:])
				return true
			}
			w.Header().Set("Etag", `"new"`)
			return false // ServeContent heeds If-Range
		}
		res, err := c.Download(t.Context(), request, nil)
		f.whole(t, c, res, err)
		if want := map[bool]int{true: 2, false: 3}[heeds]; f.count(contentPath(weights)) != want {
			t.Errorf("heeds %v: %d requests, want %d", heeds, f.count(contentPath(weights)), want)
		}
	}
}

// TestShortRanges: a server may send less than was asked for.
func TestShortRanges(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	f.partial(t, c, f.files[weights][:100])
	f.serve = func(w http.ResponseWriter, r *http.Request, file string, n int) bool {
		b, at := f.files[file], from(r)
		end := min(at+100_000, len(b))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", at, end-1))
		w.WriteHeader(206)
		w.Write(b[at:end])
		return true
	}
	res, err := c.Download(t.Context(), request, nil)
	f.whole(t, c, res, err)
}

// TestStalled: a body that stops coming is given up and resumed.
func TestStalled(t *testing.T) {
	f := newFake(t)
	c, pauses := client(t, f)
	c.Tune(func(d time.Duration) { *pauses = append(*pauses, d) }, 300*time.Millisecond)
	f.serve = func(w http.ResponseWriter, r *http.Request, file string, n int) bool {
		switch n {
		case 0:
			w.Header().Set("Content-Length", fmt.Sprint(len(f.files[file])))
			w.Write(f.files[file][:70_000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case 1: // not even a header
			<-r.Context().Done()
		}
		return n < 2
	}
	var said []string
	res, err := c.Download(t.Context(), request, notes(func(text string) { said = append(said, text) }))
	f.whole(t, c, res, err)
	if len(said) < 2 || !strings.HasPrefix(said[0], "at byte 70000 of 300007: the connection stalled: no data for 300ms: retry 1 of 5 in ") {
		t.Errorf("notes %q", said)
	}
}

// notes is a Progress that takes the notes only.
type notes func(text string)

func (notes) Begin(hub.File)              {}
func (notes) Advance(hub.File, int64)     {}
func (n notes) Note(_ hub.File, s string) { n(s) }
func (notes) End(hub.File)                {}

// watch is a Progress that sees how far the weights are.
type watch struct {
	notes
	advance func(have int64)
}

func (w watch) Advance(f hub.File, have int64) { w.advance(have) }

// TestInterrupted: a context that ends leaves the part, and the next run takes it up.
func TestInterrupted(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	f.serve = func(w http.ResponseWriter, r *http.Request, file string, n int) bool {
		if n > 0 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(f.files[file])))
		w.Write(f.files[file][:200_000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	_, err := c.Download(ctx, request, watch{func(string) {}, func(have int64) {
		if have == 200_000 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("error %v", err)
	}
	f.clean(t, c)
	plan, err := c.Plan(t.Context(), request, nil)
	if err != nil || plan.Files[0].State != hub.Partial || plan.Files[0].Have != 200_000 {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	res, err := c.Download(t.Context(), request, nil)
	f.whole(t, c, res, err)
	if states(res)[weights] != hub.Resumed || f.count(contentPath(weights)+" bytes=200000-") != 1 {
		t.Errorf("state %s, log %q", states(res)[weights], f.log)
	}
}
