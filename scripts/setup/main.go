package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// torchVersion is the libtorch that gotchVersion binds.
const (
	torchVersion = "2.1.0"
	gotchModule  = "github.com/sugarme/gotch"
	gotchVersion = "v0.9.1"
	ourModule    = "github.com/qakd/qakd"
)

func main() {
	from := flag.String("from", ".", "folder that relative MODULE-DIRs and LIBTORCH start from")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: [LIBTORCH=DIR] [CUDA=1] scripts/setup.sh [MODULE-DIR ...]")
	}
	flag.Parse()
	if err := setup(*from, flag.Args()); err != nil {
		for _, line := range strings.Split(strings.TrimRight(err.Error(), "\n"), "\n") {
			fmt.Fprintln(os.Stderr, "setup:", line)
		}
		os.Exit(1)
	}
}

// setup runs the whole program in the checkout that is the working directory.
func setup(from string, modules []string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	p, err := platformOf(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return err
	}
	cache, err := cacheDir(os.Getenv)
	if err != nil {
		return err
	}
	s := &session{root: root, cache: cache, platform: p, log: os.Stderr, free: freeBytes, build: buildGotch}
	if lib := os.Getenv("LIBTORCH"); lib != "" {
		s.libtorch = resolve(from, lib)
	}
	if s.cuda, err = parseCUDA(os.Getenv("CUDA")); err != nil {
		return err
	}
	for _, dir := range modules {
		s.modules = append(s.modules, resolve(from, dir))
	}
	return s.run()
}

// session is one set-up of one checkout.
type session struct {
	root     string   // the checkout
	cache    string   // the folder that all checkouts of this user share
	platform platform // what it is set up for
	libtorch string   // existing install asked for, absolute; "" for the wheel
	cuda     bool     // CUDA libraries asked for
	modules  []string // other modules that get a go.work, absolute

	log   io.Writer
	free  func(dir string) (uint64, error)       // bytes free on the file system of dir
	build func(root string, log io.Writer) error // compiles gotch into the Go build cache
}

// run makes what is missing, from the shared cache down to the checkout.
func (s *session) run() error {
	if err := checkBuildTools(s.root); err != nil {
		return err
	}
	deps, err := s.choose()
	if err != nil {
		return err
	}
	in, fresh, err := s.install(deps)
	if err != nil {
		return err
	}
	gotch, copied, err := s.gotch(in)
	if err != nil {
		return err
	}
	if err := s.link(in, gotch); err != nil {
		return err
	}
	if fresh || copied {
		fmt.Fprintln(s.log, "setup: compiling gotch, once for all checkouts (some minutes)")
		if err := s.build(s.root, s.log); err != nil {
			return err
		}
	}
	for _, dir := range s.modules {
		if err := writeModuleWork(dir, s.root, gotch); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.log, "setup: ready: libtorch %s%s\n", torchVersion, in.describe())
	return nil
}

func resolve(from, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(from, path)
}

func parseCUDA(v string) (bool, error) {
	switch v {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	}
	return false, fmt.Errorf("CUDA=%q: 0 or 1 expected", v)
}

// cacheDir is the one folder per user that DEPS folders live in.
func cacheDir(env func(string) string) (string, error) {
	base := env("XDG_CACHE_HOME")
	if base == "" {
		home := env("HOME")
		if home == "" {
			return "", errors.New("neither XDG_CACHE_HOME nor HOME is set: there is no place for libtorch")
		}
		base = filepath.Join(home, ".cache")
	}
	if !filepath.IsAbs(base) {
		return "", fmt.Errorf("XDG_CACHE_HOME=%q: an absolute path expected", base)
	}
	return filepath.Join(base, "qakd"), nil
}
