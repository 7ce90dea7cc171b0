package hub

import (
	"errors"
	"fmt"
	"strings"
)

// DefaultRepo is the model that this project distills.
const DefaultRepo = "Qwen/Qwen3-TTS-12Hz-1.7B-Base"

// DefaultRevision is the branch that an empty Request.Revision means.
const DefaultRevision = "main"

// Request says what to fetch.
type Request struct {
	Repo     string   // organization/name
	Revision string   // branch, tag or commit; "" for main
	Include  []string // patterns of the files wanted; none for all. See Match
	Exclude  []string // patterns of files left out of those
	Folder   string   // where plain files go; "" for the cache. Files of the repository's names are replaced there
}

// Validate checks names and patterns, and reports all that is wrong at once.
func (r Request) Validate() error {
	var wrong []string
	note := func(err error) {
		if err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	note(checkRepo(r.Repo))
	note(checkRevision(r.revision()))
	for _, p := range r.Include {
		note(checkPattern("include", p))
	}
	for _, p := range r.Exclude {
		note(checkPattern("exclude", p))
	}
	if wrong != nil {
		return fmt.Errorf("hub: %s", strings.Join(wrong, "; "))
	}
	return nil
}

func (r Request) revision() string { return firstOf(r.Revision, DefaultRevision) }

// fail names the request, and the file if there is one, in an error. An error that has both already stays as it is.
func (r Request) fail(file string, err error) error {
	var named *Error
	if err == nil || errors.As(err, &named) {
		return err
	}
	e := &Error{Repo: r.Repo, Revision: r.revision(), File: file, Err: err}
	var s *statusError
	if errors.As(err, &s) {
		e.Status = s.status
	}
	return e
}

// State is how far a file is, before (Plan) and after (Download).
type State string

// The states of a file.
const (
	Missing State = "missing" // nothing of it is here
	Partial State = "partial" // a part is here, from an interrupted transfer
	Cached  State = "cached"  // it was here already, or another process fetched it meanwhile
	Resumed State = "resumed" // fetched from where an earlier transfer broke off
	Fetched State = "fetched" // fetched whole
)

// File is a file of a repository.
type File struct {
	Path  string `json:"path"`  // inside the repository, with slashes
	Size  int64  `json:"size"`  // bytes
	ID    string `json:"id"`    // SHA-256 (64 digits), git's SHA-1 (40 digits), or another tag that the hub gives
	Check string `json:"check"` // what the content is held to besides the size: sha256, git-sha1, or size alone
	State State  `json:"state"`
	Have  int64  `json:"have"` // bytes that were here before
}

// Result is what Plan and Download return.
type Result struct {
	Repo     string `json:"repo"`
	Revision string `json:"revision"`
	Commit   string `json:"commit"`
	Dir      string `json:"dir"` // the snapshot's folder, or Request.Folder
	Files    []File `json:"files"`
}

// Size is the sum of all files in bytes, and what of it is or was not here before.
func (r *Result) Size() (all, missing int64) {
	for _, f := range r.Files {
		all += f.Size
		missing += f.Size - f.Have
	}
	return all, missing
}
