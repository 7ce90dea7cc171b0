package hub_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qakd/qakd/pkg/hub"
)

const (
	repo   = "org/model"
	commit = "0123456789abcdef0123456789abcdef01234567"
)

// fake is a hub with one repository.
type fake struct {
	*httptest.Server
	files map[string][]byte // those that end in .safetensors are large files
	main  string            // the commit that main points to
	// serve, if set, answers the n-th request (from 0) for a file's content; false leaves it to the default.
	serve func(w http.ResponseWriter, r *http.Request, file string, n int) bool
	// list, if set, answers an API request; false leaves it to the default.
	list func(w http.ResponseWriter, r *http.Request, n int) bool
	bare bool // the listing has names only, as that of a mirror

	mu    sync.Mutex
	asked map[string]int // requests by path
	log   []string       // "GET path Range", in order
}

// newFake has a configuration, a weight file of about 300 KB, and a second folder.
func newFake(t *testing.T) *fake {
	t.Helper()
	weights := make([]byte, 300_007)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(weights) // never fails
	f := &fake{main: commit, asked: map[string]int{}, files: map[string][]byte{
		"config.json":                  []byte(`{"hidden_size": 64}`),
		"model.safetensors":            weights,
		"speech_tokenizer/config.json": []byte(`{}`),
		"empty.txt":                    {},
	}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func large(file string) bool { return strings.HasSuffix(file, ".safetensors") }

func gitID(b []byte) string {
	return fmt.Sprintf("%x", sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(b)), b...)))
}

func id(file string, b []byte) string {
	if large(file) {
		return fmt.Sprintf("%x", sha256.Sum256(b))
	}
	return gitID(b)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n := f.asked[r.Method+r.URL.Path]
	f.asked[r.Method+r.URL.Path]++
	f.log = append(f.log, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
	f.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/api/") {
		if f.list == nil || !f.list(w, r, n) {
			f.api(w, r)
		}
		return
	}
	file, ok := strings.CutPrefix(r.URL.Path, "/"+repo+"/resolve/"+f.main+"/")
	b, known := f.files[file]
	if !ok || !known {
		w.Header().Set("X-Error-Code", "EntryNotFound")
		http.Error(w, "Entry not found", http.StatusNotFound)
		return
	}
	w.Header().Set("X-Repo-Commit", f.main)
	w.Header().Set("Etag", `"`+id(file, b)+`"`)
	if large(file) {
		w.Header().Set("X-Linked-Etag", `"`+id(file, b)+`"`)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(b)))
	}
	if f.serve == nil || r.Method == http.MethodHead || !f.serve(w, r, file, n) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(b)))
	}
}

func (f *fake) api(w http.ResponseWriter, r *http.Request) {
	revision, ok := strings.CutPrefix(r.URL.Path, "/api/models/"+repo+"/revision/")
	switch {
	case !strings.HasPrefix(r.URL.Path, "/api/models/"+repo+"/"):
		w.Header().Set("X-Error-Code", "RepoNotFound")
		http.Error(w, "", http.StatusUnauthorized)
		return
	case !ok || revision != "main" && revision != "refs/pr/1" && revision != f.main:
		w.Header().Set("X-Error-Code", "RevisionNotFound")
		w.Header().Set("X-Error-Message", "Invalid rev id: "+revision)
		http.Error(w, "", http.StatusNotFound)
		return
	}
	var siblings []map[string]any
	for name, b := range f.files {
		s := map[string]any{"rfilename": name}
		if !f.bare {
			s["size"], s["blobId"] = len(b), gitID(b)
			if large(name) {
				s["blobId"] = gitID([]byte("pointer of " + name))
				s["lfs"] = map[string]any{"sha256": id(name, b), "size": len(b), "pointerSize": 134}
			}
		}
		siblings = append(siblings, s)
	}
	slices.SortFunc(siblings, func(a, b map[string]any) int {
		return strings.Compare(a["rfilename"].(string), b["rfilename"].(string))
	})
	json.NewEncoder(w).Encode(map[string]any{"sha": f.main, "siblings": siblings})
}

// count is the number of requests whose "METHOD path" begins so.
func (f *fake) count(prefix string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, line := range f.log {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

func contentPath(file string) string { return "GET /" + repo + "/resolve/" + commit + "/" + file }

// client is one of an empty cache that never sleeps. The returned slice has the pauses that it would have made.
func client(t *testing.T, f *fake) (*hub.Client, *[]time.Duration) {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HF_HOME", home)
	t.Setenv("HF_ENDPOINT", f.URL+"/")
	c, err := hub.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	if c.Cache != filepath.Join(home, "hub") || c.Endpoint != f.URL {
		t.Fatalf("cache %s, endpoint %s", c.Cache, c.Endpoint)
	}
	var mu sync.Mutex
	pauses := &[]time.Duration{}
	c.Tune(func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		*pauses = append(*pauses, d)
	}, 10*time.Second)
	return c, pauses
}

// whole checks that the result's folder has the files, and that all that the cache holds under final names is right.
func (f *fake) whole(t *testing.T, c *hub.Client, res *hub.Result, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range res.Files {
		got, err := os.ReadFile(filepath.Join(res.Dir, filepath.FromSlash(file.Path)))
		if err != nil || string(got) != string(f.files[file.Path]) {
			t.Errorf("%s: %d bytes, %v; want %d bytes of the hub's content", file.Path, len(got), err, len(f.files[file.Path]))
		}
	}
	f.clean(t, c)
}

// clean checks that every blob and every snapshot file has the content that its name promises.
func (f *fake) clean(t *testing.T, c *hub.Client) {
	t.Helper()
	right := map[string]bool{}
	for name, b := range f.files {
		right[id(name, b)] = true
	}
	root := filepath.Join(c.Cache, "models--org--model")
	for _, sub := range []string{"blobs", "snapshots"} {
		err := filepath.WalkDir(filepath.Join(root, sub), func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) || err == nil && (d.IsDir() || strings.HasSuffix(path, ".incomplete")) {
				return nil
			}
			b, err := os.ReadFile(path)
			if err == nil && !right[gitID(b)] && !right[fmt.Sprintf("%x", sha256.Sum256(b))] {
				t.Errorf("%s has wrong content", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// states maps files to their states.
func states(res *hub.Result) map[string]hub.State {
	out := map[string]hub.State{}
	for _, f := range res.Files {
		out[f.Path] = f.State
	}
	return out
}

// partial writes what an interrupted run would have left of the weights.
func (f *fake) partial(t *testing.T, c *hub.Client, b []byte) string {
	t.Helper()
	const file = "model.safetensors"
	path := filepath.Join(c.Cache, "models--org--model", "blobs", id(file, f.files[file])+".incomplete")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
