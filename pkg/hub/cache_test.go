package hub_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/qakd/qakd/pkg/hub"
)

// entries lists everything below root: files with their content, links with their targets.
func entries(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if target, err := os.Readlink(path); err == nil {
			out = append(out, rel+" -> "+target)
			return nil
		}
		b, err := os.ReadFile(path)
		if len(b) > 60 {
			b = fmt.Appendf(nil, "%d bytes", len(b))
		}
		out = append(out, strings.TrimSpace(rel+" "+string(b)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLayout is the Python client's, to the letter.
func TestLayout(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	res, err := c.Download(t.Context(), hub.Request{Repo: repo, Revision: "refs/pr/1"}, nil)
	f.whole(t, c, res, err)
	ids := map[string]string{}
	for name, b := range f.files {
		ids[name] = id(name, b)
	}
	want := []string{
		".locks/models--org--model/" + ids["config.json"] + ".lock",
		".locks/models--org--model/" + ids["empty.txt"] + ".lock",
		".locks/models--org--model/" + ids[weights] + ".lock",
		".locks/models--org--model/" + ids["speech_tokenizer/config.json"] + ".lock",
		"models--org--model/blobs/" + ids["config.json"] + ` {"hidden_size": 64}`,
		"models--org--model/blobs/e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", // git's name of nothing
		"models--org--model/blobs/" + ids[weights] + " 300007 bytes",
		"models--org--model/blobs/" + ids["speech_tokenizer/config.json"] + " {}",
		"models--org--model/refs/refs/pr/1 " + commit,
		"models--org--model/snapshots/" + commit + "/config.json -> ../../blobs/" + ids["config.json"],
		"models--org--model/snapshots/" + commit + "/empty.txt -> ../../blobs/" + ids["empty.txt"],
		"models--org--model/snapshots/" + commit + "/model.safetensors -> ../../blobs/" + ids[weights],
		"models--org--model/snapshots/" + commit + "/speech_tokenizer/config.json -> ../../../blobs/" + ids["speech_tokenizer/config.json"],
	}
	got := slices.DeleteFunc(entries(t, c.Cache), func(s string) bool {
		return strings.HasPrefix(s, "models--org--model/trees/"+commit+".json ")
	})
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if res.Dir != filepath.Join(c.Cache, "models--org--model/snapshots", commit) || res.Commit != commit || res.Revision != "refs/pr/1" {
		t.Errorf("result %+v", res)
	}
	var tree struct {
		Version int `json:"format_version"`
		Files   map[string]map[string]any
	}
	data, err := os.ReadFile(filepath.Join(c.Cache, "models--org--model/trees", commit+".json"))
	if err != nil || json.Unmarshal(data, &tree) != nil {
		t.Fatal(err, string(data))
	}
	if w := tree.Files[weights]; tree.Version != 1 || len(tree.Files) != 4 || w["lfs_sha256"] != ids[weights] || w["size"] != 300007.0 || w["lfs_size"] != 300007.0 || len(w["blob_id"].(string)) != 40 {
		t.Errorf("tree %s", data)
	}
}

// TestCached: what is here is not fetched again; what was damaged is; a commit needs no request at all.
func TestCached(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	all := hub.Request{Repo: repo}
	res, err := c.Download(t.Context(), all, nil)
	f.whole(t, c, res, err)
	before := entries(t, c.Cache)
	f.log = nil
	for _, r := range []hub.Request{all, {Repo: repo, Revision: commit}} {
		res, err = c.Download(t.Context(), r, nil)
		f.whole(t, c, res, err)
		if total, missing := res.Size(); total != 300007+19+2 || missing != 0 {
			t.Errorf("%d bytes, %d missing", total, missing)
		}
	}
	if f.count("") != 1 || !slices.Equal(entries(t, c.Cache), before) {
		t.Errorf("requests %q, entries\n%s", f.log, strings.Join(entries(t, c.Cache), "\n"))
	}
	blob := filepath.Join(c.Cache, "models--org--model", "blobs", id(weights, f.files[weights]))
	name := filepath.Join(res.Dir, weights)
	for what, damage := range map[string]func() error{
		"truncated":       func() error { return os.Truncate(blob, 7) },
		"blob gone":       func() error { return os.Remove(blob) },
		"both gone":       func() error { return errors.Join(os.Remove(blob), os.Remove(name)) },
		"a strange link":  func() error { return errors.Join(os.Remove(name), os.Symlink("nowhere", name)) },
		"name gone":       func() error { return os.Remove(name) },
		"truncated alone": func() error { return errors.Join(os.Remove(name), os.WriteFile(name, []byte("short"), 0o644)) },
	} {
		if err := damage(); err != nil {
			t.Fatal(what, err)
		}
		f.log = nil
		res, err := c.Download(t.Context(), all, nil)
		f.whole(t, c, res, err)
		fetched := map[bool]int{true: 1}[what != "name gone" && what != "a strange link" && what != "truncated alone"]
		if f.count(contentPath("")) != fetched || !slices.Equal(entries(t, c.Cache), before) {
			t.Errorf("%s: requests %q, entries\n%s", what, f.log, strings.Join(entries(t, c.Cache), "\n"))
		}
	}
}

// TestNewCommit: a push shares the files that stayed, and the old snapshot stays whole.
func TestNewCommit(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	old, err := c.Download(t.Context(), hub.Request{Repo: repo}, nil)
	f.whole(t, c, old, err)
	f.main = strings.Repeat("b", 40)
	f.files["config.json"] = []byte(`{"hidden_size": 65}`)
	res, err := c.Download(t.Context(), hub.Request{Repo: repo}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]hub.State{"config.json": hub.Fetched, "empty.txt": hub.Cached, weights: hub.Cached, "speech_tokenizer/config.json": hub.Cached}
	if fmt.Sprint(states(res)) != fmt.Sprint(want) || res.Dir == old.Dir {
		t.Errorf("states %v, folder %s", states(res), res.Dir)
	}
	for dir, want := range map[string]string{old.Dir: `{"hidden_size": 64}`, res.Dir: `{"hidden_size": 65}`} {
		if got, err := os.ReadFile(filepath.Join(dir, "config.json")); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", dir, got, err)
		}
	}
}

// TestConcurrent: two downloads at once fetch each file once, and both end with all of it. So do two files with the same
// content.
func TestConcurrent(t *testing.T) {
	f := newFake(t)
	f.files["copy.safetensors"] = f.files[weights]
	c, _ := client(t, f)
	started := make(chan struct{})
	var once sync.Once
	f.serve = func(w http.ResponseWriter, r *http.Request, file string, n int) bool {
		if large(file) {
			once.Do(func() { <-started }) // until somebody waits for the lock
		}
		return false
	}
	var waited atomic.Int32
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			res, err := c.Download(t.Context(), hub.Request{Repo: repo}, notes(func(text string) {
				if strings.HasPrefix(text, "waiting") && waited.Add(1) == 3 {
					close(started)
				}
			}))
			if err != nil {
				t.Error(err)
				return
			}
			f.whole(t, c, res, err)
		})
	}
	wg.Wait()
	if n := f.count(contentPath(weights)) + f.count(contentPath("copy.safetensors")); n != 1 {
		t.Errorf("the content was fetched %d times", n)
	}
}

// TestOffline: the cache serves what it has, says what it lacks, and no request is made.
func TestOffline(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	some := hub.Request{Repo: repo, Include: []string{"*.json"}}
	res, err := c.Download(t.Context(), some, nil)
	f.whole(t, c, res, err)
	f.log = nil
	c.Offline = true
	check := func(r hub.Request, want string) {
		t.Helper()
		res, err := c.Download(t.Context(), r, nil)
		if want == "" {
			f.whole(t, c, res, err)
			return
		}
		want = strings.ReplaceAll(want, "CACHE", c.Cache)
		if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, hub.ErrNotCached) {
			t.Errorf("%+v: %v, want %s", r, err, want)
		}
	}
	check(some, "")
	check(hub.Request{Repo: repo, Revision: commit, Include: []string{"config.json"}}, "")
	check(hub.Request{Repo: repo}, "hub: org/model@main: 2 of 4 files are not in the cache CACHE, and HF_HUB_OFFLINE forbids to fetch them: empty.txt, model.safetensors")
	check(hub.Request{Repo: repo, Revision: "v1"}, "hub: org/model@v1: not in the cache CACHE, and HF_HUB_OFFLINE forbids to fetch it")
	check(hub.Request{Repo: repo, Revision: strings.Repeat("c", 40)}, "hub: org/model@cccc")
	check(hub.Request{Repo: "org/other"}, "hub: org/other@main: not in the cache")
	// a cache of an older client has no listing
	root := filepath.Join(c.Cache, "models--org--model")
	if err := os.RemoveAll(filepath.Join(root, "trees")); err != nil {
		t.Fatal(err)
	}
	check(some, "")
	check(hub.Request{Repo: repo}, "") // it cannot be known that this is not all
	if _, err := c.Download(t.Context(), request, nil); err == nil || !strings.Contains(err.Error(), `"model.safetensors" matches none of the 2 files`) {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(filepath.Join(root, "blobs", id("config.json", f.files["config.json"]))); err != nil {
		t.Fatal(err)
	}
	check(hub.Request{Repo: repo}, "hub: org/model@main: 1 of 2 files are not in the cache CACHE, and HF_HUB_OFFLINE forbids to fetch them: config.json")
	if _, err := c.Download(t.Context(), hub.Request{Repo: repo, Folder: t.TempDir()}, nil); err == nil || !strings.Contains(err.Error(), "a plain folder is filled from the hub only") {
		t.Errorf("error %v", err)
	}
	if f.count("") != 0 {
		t.Errorf("requests %q", f.log)
	}
}

// TestReadOnly: a cache that cannot be written to serves what it has, even under a name that it lacks, and otherwise
// says where it failed. A file in the place of a folder stops the superuser, too.
func TestReadOnly(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	some := hub.Request{Repo: repo, Include: []string{"*.json"}}
	res, err := c.Download(t.Context(), some, nil)
	f.whole(t, c, res, err)
	root := filepath.Join(c.Cache, "models--org--model")
	if err := errors.Join(os.Rename(filepath.Join(root, "refs"), filepath.Join(root, "gone")), os.WriteFile(filepath.Join(root, "refs"), nil, 0o444)); err != nil {
		t.Fatal(err)
	}
	said := ""
	res, err = c.Download(t.Context(), some, notes(func(text string) { said = text }))
	f.whole(t, c, res, err)
	if !strings.HasPrefix(said, "everything is here, but the cache could not be brought up to date: create "+filepath.Join(root, "refs")) {
		t.Errorf("note %q", said)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(c.Cache, ".locks")), os.WriteFile(filepath.Join(c.Cache, ".locks"), nil, 0o444)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Download(t.Context(), request, nil); err == nil || !strings.HasPrefix(err.Error(), "hub: org/model@main: model.safetensors: create "+c.Cache) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
}

// TestDiskFull: what is missing is compared with what is free, before the first byte.
func TestDiskFull(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	var free uint64
	asked := ""
	c.SetFree(func(dir string) (uint64, bool) { asked = dir; return free, true })
	f.partial(t, c, f.files[weights][:100_007])
	free = 199_999
	_, err := c.Download(t.Context(), request, nil)
	if want := "hub: org/model@main: 1 MiB are to be fetched, but " + filepath.Join(c.Cache, "models--org--model") + " has 0 MiB free"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if _, err := os.Stat(asked); err != nil || f.count(contentPath("")) != 0 {
		t.Errorf("asked about %s, %v; requests %q", asked, err, f.log)
	}
	free = 200_000
	res, err := c.Download(t.Context(), request, nil)
	f.whole(t, c, res, err)
	if free = 0; states(res)[weights] != hub.Resumed {
		t.Errorf("states %v", states(res))
	}
	res, err = c.Download(t.Context(), request, nil)
	f.whole(t, c, res, err)
}

// TestNoSymlinks: hard links take their place.
func TestNoSymlinks(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	c.SetSymlink(func(_, _ string) error { return errors.ErrUnsupported })
	for range 2 {
		res, err := c.Download(t.Context(), hub.Request{Repo: repo}, nil)
		f.whole(t, c, res, err)
		a, errA := os.Stat(filepath.Join(res.Dir, weights))
		b, errB := os.Lstat(filepath.Join(c.Cache, "models--org--model", "blobs", id(weights, f.files[weights])))
		if errA != nil || errB != nil || !os.SameFile(a, b) || !b.Mode().IsRegular() {
			t.Errorf("%v, %v", errA, errB)
		}
	}
	if f.count(contentPath("")) != 4 {
		t.Errorf("requests %q", f.log)
	}
}

// TestFolder: plain files, judged by their checksums, with the interrupted ones aside.
func TestFolder(t *testing.T) {
	f := newFake(t)
	f.files["copy.safetensors"] = f.files[weights]
	c, _ := client(t, f)
	dir := filepath.Join(t.TempDir(), "new", "model")
	r := hub.Request{Repo: repo, Folder: dir}
	check := func(want ...hub.State) {
		t.Helper()
		res, err := c.Download(t.Context(), r, nil)
		f.whole(t, c, res, err)
		var got []hub.State
		for _, file := range res.Files {
			got = append(got, file.State)
		}
		if !slices.Equal(got, want) || res.Dir != dir {
			t.Errorf("states %v, folder %s; want %v", got, res.Dir, want)
		}
	}
	check(hub.Fetched, hub.Fetched, hub.Fetched, hub.Fetched, hub.Fetched)
	check(hub.Cached, hub.Cached, hub.Cached, hub.Cached, hub.Cached)
	path := filepath.Join(dir, "config.json")
	if err := os.WriteFile(path, []byte(`{"hidden_size": 99}`), 0o644); err != nil { // of the same size
		t.Fatal(err)
	}
	check(hub.Fetched, hub.Cached, hub.Cached, hub.Cached, hub.Cached)
	st, err := os.Lstat(path)
	if err != nil || !st.Mode().IsRegular() {
		t.Errorf("%v, %v", st, err)
	}
	if _, err := os.Stat(c.Cache); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cache was touched: %v", err)
	}
	f.files[".cache/huggingface/x"] = []byte("x")
	if _, err := c.Download(t.Context(), r, nil); err == nil || !strings.Contains(err.Error(), "the folder that is kept for interrupted transfers") {
		t.Errorf("error %v", err)
	}
}

// TestPlan writes nothing.
func TestPlan(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	res, err := c.Plan(t.Context(), hub.Request{Repo: repo}, nil)
	if err != nil || len(res.Files) != 4 || res.Files[2].State != hub.Missing || res.Files[2].Size != 300007 || res.Files[2].Check != "sha256" {
		t.Errorf("%+v, %v", res, err)
	}
	if made, err := os.ReadDir(filepath.Dir(c.Cache)); len(made) != 0 || err != nil {
		t.Errorf("made %v, %v", made, err)
	}
}
