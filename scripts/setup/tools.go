package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	gib     = 1 << 30
	cpuRoom = 3 * gib // the wheel twice (pip copies it) and its 0.5 GB unpacked, the build cache, some air
	gpuRoom = 12 * gib
)

// cleanEnv is the environment of the user's own go commands: without what setup.sh adds for this program.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GOWORK=") && !strings.HasPrefix(kv, "CGO_ENABLED=") {
			env = append(env, kv)
		}
	}
	return env
}

// checkBuildTools finds what every build needs. Each thing missing is one line.
func checkBuildTools(root string) error {
	cmd := exec.Command("go", "env", "CC", "CXX", "GOFLAGS")
	cmd.Dir, cmd.Env = root, append(cleanEnv(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	v := strings.Split(string(out), "\n")
	if len(v) < 3 {
		return fmt.Errorf("go env CC CXX GOFLAGS: 3 lines expected, got %q", out)
	}
	var missing []error
	for _, tool := range []struct{ what, line string }{{"C", v[0]}, {"C++", v[1]}} {
		if err := checkCompiler(tool.what, tool.line); err != nil {
			missing = append(missing, err)
		}
	}
	if strings.Contains(v[2], "-mod=mod") || strings.Contains(v[2], "-mod=vendor") {
		missing = append(missing, fmt.Errorf("GOFLAGS=%q: go refuses -mod=mod and -mod=vendor beside a go.work: remove them", v[2]))
	}
	return errors.Join(missing...)
}

func checkCompiler(what, line string) error {
	fields := strings.Fields(line)
	if len(fields) > 0 {
		if _, err := exec.LookPath(fields[0]); err == nil {
			return nil
		}
	}
	return fmt.Errorf("no %s compiler (%s): install one, e.g. `apt-get install g++`, `dnf install gcc-c++` or `xcode-select --install`", what, line)
}

// findPip is the command that fetches wheels.
func findPip() ([]string, error) {
	for _, c := range [][]string{{"python3", "-m", "pip"}, {"pip3"}, {"pip"}, {"python", "-m", "pip"}} {
		if exec.Command(c[0], append(c[1:len(c):len(c)], "--version")...).Run() == nil {
			return c, nil
		}
	}
	return nil, errors.New("pip is missing, and LIBTORCH is not set: install it, e.g. `apt-get install python3-pip`, or set LIBTORCH to a libtorch " + torchVersion)
}

// checkRoom asks for the space that unpacking takes.
func checkRoom(dir string, cuda bool, free func(string) (uint64, error)) error {
	need := uint64(cpuRoom)
	if cuda {
		need = gpuRoom
	}
	have, err := free(dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if have < need {
		return fmt.Errorf("%s has %.1f GB free, unpacking needs %.0f GB: free some, or set XDG_CACHE_HOME to a bigger disk", dir, float64(have)/gib, float64(need)/gib)
	}
	return nil
}

func freeBytes(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}

// buildGotch compiles gotch in the checkout's workspace; the result stays in the Go build cache.
func buildGotch(root string, log io.Writer) error {
	cmd := exec.Command("go", "build", gotchModule+"/nn")
	cmd.Dir, cmd.Env = root, cleanEnv()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s/nn in %s: %w", gotchModule, root, err)
	}
	return nil
}

// locked runs f while this process alone may change the cache.
func (s *session) locked(f func() error) error {
	if err := os.MkdirAll(s.cache, 0o755); err != nil {
		return err
	}
	path := filepath.Join(s.cache, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer file.Close() // closing releases the lock, and so does dying
	fd := int(file.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		fmt.Fprintln(s.log, "setup: waiting for another set-up of this user")
		if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
			return fmt.Errorf("lock %s: %w", path, err)
		}
	}
	return f()
}
