package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// libtorch is one complete DEPS folder.
type libtorch struct {
	dir string // absolute

	Torch  string `json:"torch"`   // version
	ABI    string `json:"cxx_abi"` // value of _GLIBCXX_USE_CXX11_ABI, "0" or "1"; "" where there is only one ABI
	Source string `json:"source"`  // "wheel", or the folder of the existing install
	CUDA   bool   `json:"cuda"`    // CUDA libraries were asked for
}

func (l libtorch) describe() string {
	s := ""
	if l.ABI != "" {
		s += ", C++ ABI " + l.ABI
	}
	if l.CUDA {
		s += ", CUDA 12.1"
	}
	return s + ", from " + l.Source + ", in " + l.dir
}

const manifest = "setup.json" // in DEPS, written last: a folder with it is whole

// choose settles which libtorch this checkout gets, without making it. A run that asks for none keeps the last one:
// `make test` after `make setup CUDA=1` must not switch back.
func (s *session) choose() (libtorch, error) {
	switch {
	case s.libtorch != "" && s.cuda:
		return libtorch{}, errors.New("LIBTORCH and CUDA=1 together: an existing install brings its own CUDA libraries, leave CUDA out")
	case s.cuda && s.platform.cuda == nil:
		return libtorch{}, errors.New("CUDA=1: no CUDA build exists for this platform's libtorch " + torchVersion)
	case s.libtorch != "":
		abi, err := s.platform.inspect(s.libtorch)
		if err != nil {
			return libtorch{}, fmt.Errorf("LIBTORCH=%s: %w", s.libtorch, err)
		}
		name := fmt.Sprintf("torch-%s-own-%.4x", torchVersion, sha256.Sum256([]byte(s.libtorch+"\n"+abi)))
		return libtorch{dir: filepath.Join(s.cache, name), Torch: torchVersion, ABI: abi, Source: s.libtorch}, nil
	case !s.cuda:
		if kept, ok, err := s.kept(); ok || err != nil {
			return kept, err
		}
	}
	kind := "cpu"
	if s.cuda {
		kind = "cu121"
	}
	dir := filepath.Join(s.cache, "torch-"+torchVersion+"-"+kind+s.platform.name)
	return libtorch{dir: dir, Torch: torchVersion, Source: "wheel", CUDA: s.cuda}, nil
}

// kept is the libtorch that .deps points at, if it is whole and of this version.
func (s *session) kept() (libtorch, bool, error) {
	dir, err := os.Readlink(filepath.Join(s.root, ".deps"))
	if err != nil {
		return libtorch{}, false, nil // a new checkout
	}
	l, ok := s.platform.read(dir)
	if ok && l.Torch == torchVersion {
		return l, true, nil
	}
	if l.Source != "" && l.Source != "wheel" {
		return libtorch{}, false, fmt.Errorf("LIBTORCH=%s, which this checkout was set up with, is gone: set LIBTORCH again, or remove .deps to use the wheel", l.Source)
	}
	return libtorch{}, false, nil
}

// read returns what the manifest of dir says, and whether the folder is whole.
func (p platform) read(dir string) (libtorch, bool) {
	l := libtorch{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, manifest))
	if err != nil || json.Unmarshal(data, &l) != nil {
		return l, false
	}
	for _, f := range p.needed() {
		if _, err := os.Stat(filepath.Join(dir, "torch", f)); err != nil {
			return l, false
		}
	}
	return l, true
}

// needed are files without which a libtorch is none.
func (p platform) needed() []string {
	return []string{"lib/libtorch_cpu" + p.lib, "lib/libc10" + p.lib, "include/ATen/core/Tensor.h", versionHeader}
}

// install makes the folder of l unless it is there, and says whether it did.
func (s *session) install(l libtorch) (libtorch, bool, error) {
	if have, ok := s.platform.read(l.dir); ok {
		return have, false, nil
	}
	made := false
	err := s.locked(func() error {
		if have, ok := s.platform.read(l.dir); ok { // somebody else was faster
			l = have
			return nil
		}
		part := l.dir + ".part"
		if err := os.RemoveAll(part); err != nil {
			return err
		}
		fill := s.unpackWheels
		if l.Source != "wheel" {
			fill = s.linkExisting
		}
		if err := fill(&l, part); err != nil {
			return err
		}
		if err := s.platform.nameOpenMP(part); err != nil {
			return err
		}
		data, err := json.MarshalIndent(l, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(part, manifest), append(data, '\n'), 0o644); err != nil {
			return err
		}
		if err := os.RemoveAll(l.dir); err != nil { // what is there is not whole
			return err
		}
		made = true
		return os.Rename(part, l.dir)
	})
	return l, made, err
}

// linkExisting fills part with links into the install: the folder itself is the user's, and the name of the OpenMP runtime
// has to be added beside the libraries. libtorch finds its neighbors relative to the path that it was opened by.
func (s *session) linkExisting(l *libtorch, part string) error {
	lib := filepath.Join(part, "torch", "lib")
	if err := os.MkdirAll(lib, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(l.Source, "lib"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "libnvfuser_codegen") { // see cudaWheels
			continue
		}
		if err := os.Symlink(filepath.Join(l.Source, "lib", e.Name()), filepath.Join(lib, e.Name())); err != nil {
			return err
		}
	}
	if err := os.Symlink(filepath.Join(l.Source, "include"), filepath.Join(part, "torch", "include")); err != nil {
		return err
	}
	for _, sibling := range []string{"nvidia", "torch.libs"} { // where pip installs put more libraries
		from := filepath.Join(filepath.Dir(l.Source), sibling)
		if _, err := os.Stat(from); err != nil {
			continue
		}
		if err := os.Symlink(from, filepath.Join(part, sibling)); err != nil {
			return err
		}
	}
	return nil
}

// nameOpenMP gives the OpenMP runtime that libtorch brings the plain name that internal/shim links, libgomp.so.1.
// A libtorch that brings none uses the system's.
func (p platform) nameOpenMP(part string) error {
	if p.openmp == "" {
		return nil
	}
	lib := filepath.Join(part, "torch", "lib")
	if _, err := os.Lstat(filepath.Join(lib, "libgomp.so.1")); err == nil {
		return nil
	}
	for _, dir := range []string{".", "../../torch.libs"} {
		found, err := filepath.Glob(filepath.Join(lib, dir, "libgomp*.so*"))
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return os.Symlink(filepath.Join(dir, filepath.Base(found[0])), filepath.Join(lib, "libgomp.so.1"))
		}
	}
	return nil
}
