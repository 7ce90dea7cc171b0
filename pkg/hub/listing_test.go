package hub_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/hub"
)

// TestMirror: a listing of names only is completed by HEAD requests, which do not follow to the storage.
func TestMirror(t *testing.T) {
	f := newFake(t)
	f.bare = true
	c, _ := client(t, f)
	res, err := c.Download(t.Context(), hub.Request{Repo: repo, Exclude: []string{"*/config.json"}}, nil)
	f.whole(t, c, res, err)
	if len(res.Files) != 3 || f.count("HEAD ") != 3 {
		t.Errorf("%d files, %d HEAD requests", len(res.Files), f.count("HEAD "))
	}
	for _, file := range res.Files {
		if file.ID != id(file.Path, f.files[file.Path]) || file.Check == "size" {
			t.Errorf("%+v", file)
		}
	}
}

// TestPages: without the short listing, the tree is read page by page, from the endpoint only.
func TestPages(t *testing.T) {
	f := newFake(t)
	names := []string{"config.json", "empty.txt", weights, "speech_tokenizer/config.json"}
	var next func(page int) string
	f.list = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if strings.Contains(r.URL.Path, "/revision/") {
			json.NewEncoder(w).Encode(map[string]string{"sha": commit})
			return true
		}
		if r.URL.Path != "/api/models/org/model/tree/"+commit || r.URL.Query().Get("recursive") != "true" {
			t.Errorf("asked for %s", r.URL)
		}
		page := 0
		fmt.Sscan(r.URL.Query().Get("cursor"), &page)
		if link := next(page); link != "" {
			w.Header().Set("Link", `<`+link+`>; rel="next"`)
		}
		name := names[page]
		e := map[string]any{"type": "file", "path": name, "size": len(f.files[name]), "oid": gitID(f.files[name])}
		if large(name) {
			e["lfs"] = map[string]any{"oid": id(name, f.files[name]), "size": len(f.files[name])}
		}
		json.NewEncoder(w).Encode([]any{map[string]any{"type": "directory", "path": fmt.Sprint("d", page), "oid": "x"}, e})
		return true
	}
	page := func(n int) string {
		return fmt.Sprintf("%s/api/models/org/model/tree/%s?recursive=true&cursor=%d", f.URL, commit, n)
	}
	next = func(n int) string {
		if n+1 == len(names) {
			return ""
		}
		return page(n + 1)
	}
	c, _ := client(t, f)
	res, err := c.Download(t.Context(), hub.Request{Repo: repo}, nil)
	f.whole(t, c, res, err)
	if len(res.Files) != 4 {
		t.Errorf("files %+v", res.Files)
	}
	for _, to := range []string{page(0), page(1), "http://elsewhere.invalid/", "::"} {
		next = func(n int) string { return to }
		c, _ := client(t, f)
		if _, err := c.Download(t.Context(), hub.Request{Repo: repo}, nil); err == nil || !strings.Contains(err.Error(), "listing goes on at") {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// TestUntrusted: names, ids and commits that would leave the cache are refused before anything is written.
func TestUntrusted(t *testing.T) {
	bad := []string{"../x", "a/../../x", "/etc/x", "", ".", "..", "a//b", "a/", "./a", `a\b`, "a\x00b", "a\nb", "a\x1b[2Jb", strings.Repeat("x", 2000)}
	answer := func(sha, name, blob string) map[string]any {
		return map[string]any{"sha": sha, "siblings": []any{map[string]any{"rfilename": name, "size": 3, "blobId": blob}}}
	}
	var answers []map[string]any
	for _, name := range bad {
		answers = append(answers, answer(commit, name, gitID([]byte("abc"))))
		if name != "" {
			answers = append(answers, answer(commit, "a", name))
		}
		answers = append(answers, answer(name, "a", gitID([]byte("abc"))))
	}
	twice := answer(commit, "a", "b")
	twice["siblings"] = append(twice["siblings"].([]any), twice["siblings"].([]any)...)
	answers = append(answers, twice)
	for _, a := range answers {
		f := newFake(t)
		f.list = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			json.NewEncoder(w).Encode(a)
			return true
		}
		c, _ := client(t, f)
		_, err := c.Download(t.Context(), hub.Request{Repo: repo}, nil)
		if err == nil || strings.ContainsAny(err.Error(), "\n\x1b\x00") || len(err.Error()) > 600 || f.count("") != 1 {
			t.Errorf("%v: error %v, requests %q", a, err, f.log)
		}
		if made, err := os.ReadDir(filepath.Dir(c.Cache)); len(made) != 0 {
			t.Errorf("made %v, %v", made, err)
		}
		f.Close()
	}
}

// FuzzPath: what passes stays below its folder, in one piece.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"a/b.json", "../a", "a/../b", "/a", "..", "a\\b", "C:/x", "a/./b", "ä/é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if hub.CheckPath(name) != nil {
			return
		}
		rel, err := filepath.Rel("/root-of-it", filepath.Join("/root-of-it", filepath.FromSlash(name)))
		if err != nil || rel != filepath.FromSlash(name) || rel == "." || strings.HasPrefix(rel, "..") && (len(rel) == 2 || rel[2] == '/') {
			t.Errorf("%q becomes %q, %v", name, rel, err)
		}
	})
}

func TestMatch(t *testing.T) {
	all := []string{"config.json", "model-00001.safetensors", "model.safetensors", "speech_tokenizer/config.json", "speech_tokenizer/a/b.json", "x[1].txt"}
	for pattern, want := range map[string][]int{
		"*.json":                  {0, 3, 4},
		"config.json":             {0},
		"**/config.json":          {0, 3},
		"speech_tokenizer/":       {3, 4},
		"speech_tokenizer/*":      {3, 4},
		"speech_tokenizer/**":     {3, 4},
		"speech_tokenizer/**/*":   {3, 4},
		"speech_tokenizer/**/b.*": {4},
		"**":                      {0, 1, 2, 3, 4, 5},
		"model-0000?.safetensors": {1},
		"model[-.]*":              {1, 2},
		"model[!-]*":              {2},
		"model[^-]*":              {2},
		`x\[1\].txt`:              {5},
		"x[[]1].txt":              {5},
		"model.safetensor":        nil,
		"Config.json":             nil,
		"(config|model).*":        nil,
	} {
		var got []int
		for i, name := range all {
			if ok, err := hub.Match(pattern, name); err != nil {
				t.Errorf("%s: %v", pattern, err)
			} else if ok {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", pattern, got, want)
		}
	}
	for _, pattern := range []string{"[", "a[", `a\`, "[z-a]", "[]"} {
		if _, err := hub.Match(pattern, "a"); err == nil {
			t.Errorf("%s: no error", pattern)
		}
	}
}

// TestRequests: what is wrong with a request is said at once, all of it, before any connection.
func TestRequests(t *testing.T) {
	f := newFake(t)
	c, _ := client(t, f)
	for want, r := range map[string]hub.Request{
		`hub: repository "" is not of the form organization/name`:      {},
		`hub: repository "a/b/c" is not of`:                            {Repo: "a/b/c"},
		`hub: repository "../b" is not of`:                             {Repo: "../b"},
		`hub: repository "a--b/c" is not of`:                           {Repo: "a--b/c"},
		`hub: repository "https://x/a/b" is not of`:                    {Repo: "https://x/a/b"},
		`hub: revision "../x" is no branch, tag or commit: it is no`:   {Repo: repo, Revision: "../x"},
		`hub: an include pattern is empty; exclude pattern "[" is mal`: {Repo: repo, Include: []string{""}, Exclude: []string{"["}},
	} {
		if _, err := c.Download(t.Context(), r, nil); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want %s", r, err, want)
		}
	}
	if f.count("") != 0 {
		t.Errorf("requests %q", f.log)
	}
	for want, r := range map[string]hub.Request{
		`hub: org/model@main: include pattern "*.gguf" matches none of the 4 files (config.json, empty.txt, model.safetensors, speech_tokenizer/config.json)`: {Repo: repo, Include: []string{"*.json", "*.gguf"}},
		`hub: org/model@main: nothing is left to fetch: the exclude patterns match all that was wanted of 4 files (`:                                          {Repo: repo, Exclude: []string{"*"}},
	} {
		if _, err := c.Download(t.Context(), r, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", r, err, want)
		}
	}
	if f.count("GET /org") != 0 {
		t.Errorf("requests %q", f.log)
	}
}
