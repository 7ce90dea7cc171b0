package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"

	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/hub"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// serve is a hub with one file of 3000 bytes, and an empty home.
func serve(t *testing.T) {
	t.Helper()
	content := strings.Repeat("abc", 1000)
	id := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/models/org/model/revision/v1":
			fmt.Fprintf(w, `{"sha":%q,"siblings":[{"rfilename":"a/b.safetensors","size":3000,"blobId":"x","lfs":{"sha256":%q}}]}`, commit, id)
		case "/org/model/resolve/" + commit + "/a/b.safetensors":
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
		default:
			w.Header().Set("X-Error-Code", "RepoNotFound")
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	for _, name := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_ENDPOINT", server.URL)
}

// start runs the program with a command line.
func start(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	fs := flag.NewFlagSet("download", flag.ContinueOnError)
	var o options
	o.register(fs)
	var out, log bytes.Buffer
	fs.SetOutput(&log)
	code = experiment.Main(fs, args, func(main context.Context) error {
		if ctx.Err() != nil {
			main = ctx
		}
		return run(main, &out, &log, o)
	})
	return out.String(), log.String(), code
}

func TestDownload(t *testing.T) {
	serve(t)
	model := []string{"-repo", "org/model", "-revision", "v1"}
	for _, tt := range []struct {
		args        []string
		code        int
		out, stderr string // a part of each
	}{
		{append(model, "-dry-run"), 0, "│ missing │", ""},
		{append(model, "-include", "*.json,*.safetensors"), 1, "", `download: hub: org/model@v1: include pattern "*.json" matches none of the 1 files (a/b.safetensors)`},
		{append(model, "-include", "*.safetensors"), 0, "1 files, 2.93 KiB, of which 2.93 KiB fetched\n", "a/b.safetensors: 2.93 KiB, 0 B here\na/b.safetensors: fetched\n"},
		{model, 0, "│ cached │", ""},
		{append(model, "-exclude", "a/"), 1, "", "nothing is left to fetch"},
		{append(model, "-include", "x,"), 2, "", "an include pattern is empty"},
		{[]string{"-repo", "model@v1"}, 2, "", `repository "model@v1" is not of the form organization/name`},
		{[]string{"-repo", "org/other"}, 1, "", "401 Unauthorized: no such repository, or a private one"},
		{[]string{"org/model"}, 2, "", `unexpected argument "org/model"`},
	} {
		out, stderr, code := start(t.Context(), tt.args...)
		if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(stderr, tt.stderr) || code != 0 && out != "" {
			t.Errorf("%v: code %d, stdout %q, stderr %q", tt.args, code, out, stderr)
		}
	}
	dir := filepath.Join(t.TempDir(), "plain")
	out, _, code := start(t.Context(), append(model, "-out", dir, "-json")...)
	var res hub.Result
	if err := json.Unmarshal([]byte(out), &res); err != nil || code != 0 || res.Dir != dir || len(res.Files) != 1 || res.Files[0].State != hub.Fetched {
		t.Errorf("code %d, %v: %s", code, err, out)
	}
	if st, err := os.Lstat(filepath.Join(dir, "a", "b.safetensors")); err != nil || !st.Mode().IsRegular() || st.Size() != 3000 {
		t.Errorf("%v, %v", st, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, stderr, code := start(ctx, model...); code != experiment.ExitInterrupted {
		t.Errorf("interrupted: code %d, %s", code, stderr)
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	if out, stderr, code := start(t.Context(), model...); code != 0 || !strings.Contains(out, filepath.Join("snapshots", commit)) {
		t.Errorf("offline: code %d, %s", code, stderr)
	}
	if _, stderr, code := start(t.Context(), "-repo", "org/model"); code != 1 || !strings.Contains(stderr, "org/model@main: not in the cache") {
		t.Errorf("offline: code %d, %s", code, stderr)
	}
}

// TestBars: both forms of the progress end, whatever becomes of the files.
func TestBars(t *testing.T) {
	for _, live := range []bool{false, true} {
		var out bytes.Buffer
		b := newBars(&out)
		now := time.Unix(0, 0)
		if live {
			b.p = mpb.New(mpb.WithOutput(io.Discard), mpb.WithAutoRefresh())
		} else { // the drawing goroutine would read it
			b.now = func() time.Time { now = now.Add(6 * time.Second); return now }
		}
		good, bad := hub.File{Path: "good", Size: 4 << 20, Have: 1 << 20}, hub.File{Path: "bad", Size: 100}
		b.Begin(good)
		b.Begin(bad)
		b.Advance(good, 2<<20)
		b.Note(good, "a pause")
		b.Advance(good, 0) // over again
		b.Advance(good, 4<<20)
		b.Advance(bad, 50)
		good.State, bad.State, bad.Have = hub.Resumed, hub.Partial, 50
		b.End(good)
		b.End(bad)
		b.close()
		want := "good: 4.00 MiB, 1.00 MiB here\nbad: 100 B, 0 B here\ngood: 2.00 MiB / 4.00 MiB, "
		if !live && (!strings.HasPrefix(out.String(), want) || !strings.Contains(out.String(), "good: a pause\n") ||
			!strings.HasSuffix(out.String(), "good: resumed from 1.00 MiB\nbad: partial, 50 B here\n")) {
			t.Errorf("lines\n%s", out.String())
		}
	}
}

// TestBarsBeginWhileDrawing: a row appears while others are drawn, however often; each side waits for the other's lock
// only if one of them holds its own.
func TestBarsBeginWhileDrawing(t *testing.T) {
	b := newBars(io.Discard)
	b.p = mpb.New(mpb.WithOutput(io.Discard), mpb.WithAutoRefresh(), mpb.WithRefreshRate(50*time.Microsecond))
	done := make(chan bool)
	go func() {
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				for i := range 40 {
					f := hub.File{Path: fmt.Sprint(worker, "-", i), Size: 100}
					b.Begin(f)
					b.Advance(f, 50)
					f.State = hub.Fetched
					b.End(f)
				}
			})
		}
		wg.Wait()
		b.close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("the bars wait for each other")
	}
}
