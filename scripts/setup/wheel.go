package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// unpackWheels fetches what is missing of the wheels and unpacks the kept parts into part.
// Whole wheels wait in downloads, so that an interrupted run does not fetch them twice; at the end they go.
func (s *session) unpackWheels(l *libtorch, part string) error {
	pip, err := findPip()
	if err := errors.Join(err, checkRoom(s.cache, l.CUDA, s.free)); err != nil {
		return err
	}
	downloads := filepath.Join(s.cache, "downloads")
	var files []string
	wheels := s.platform.wheels(l.CUDA)
	for _, w := range wheels {
		file, err := s.fetch(pip, w, downloads)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	for i, w := range wheels {
		if err := unpack(files[i], part, w.keep); err != nil {
			if rm := os.Remove(files[i]); rm != nil {
				return errors.Join(err, rm)
			}
			return fmt.Errorf("%s: %w; removed it, run set-up again", filepath.Base(files[i]), err)
		}
	}
	if l.ABI, err = s.platform.inspect(filepath.Join(part, "torch")); err != nil {
		return fmt.Errorf("torch==%s as unpacked: %w", torchVersion, err)
	}
	return os.RemoveAll(downloads)
}

// fetch returns the file of one wheel in dir, fetched with pip if it is not there yet.
func (s *session) fetch(pip []string, w wheel, dir string) (string, error) {
	name, version, _ := strings.Cut(w.req, "==")
	pattern := filepath.Join(dir, strings.ReplaceAll(name, "-", "_")+"-"+version+"*.whl")
	if have, err := filepath.Glob(pattern); err != nil || len(have) > 0 {
		return first(have), err
	}
	tmp := filepath.Join(dir, "pip") // of this run alone: the lock is held
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", err
	}
	fmt.Fprintf(s.log, "setup: fetching %s\n", w.req)
	args := append(pip[1:len(pip):len(pip)], "download")
	if !isTerminal(s.log) {
		args = append(args, "-q")
	}
	args = append(args, "--no-deps", "--no-cache-dir", "--only-binary=:all:", "--implementation", "cp",
		"--python-version", "3.11", "--abi", "cp311", "--platform", s.platform.tag, "-d", tmp, w.req)
	cmd := exec.Command(pip[0], args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp) // pip's own temporary files: on the disk whose space was checked
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = s.log, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("pip could not fetch %s (%w): %s", w.req, err, lastLine(stderr.String()))
	}
	got, err := filepath.Glob(filepath.Join(tmp, filepath.Base(pattern)))
	if err != nil || len(got) == 0 {
		return "", errors.Join(err, fmt.Errorf("pip fetched no file like %s", filepath.Base(pattern)))
	}
	file := filepath.Join(dir, filepath.Base(got[0]))
	return file, errors.Join(os.Rename(got[0], file), os.RemoveAll(tmp))
}

func first(l []string) string {
	if len(l) == 0 {
		return ""
	}
	return l[0]
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// unpack writes the members of a wheel whose names begin with one of keep into dir. Reading to the end checks their CRCs.
func unpack(file, dir string, keep []string) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer z.Close()
	n := 0
	for _, m := range z.File {
		if strings.HasSuffix(m.Name, "/") || !hasAnyPrefix(m.Name, keep) {
			continue
		}
		if !filepath.IsLocal(m.Name) {
			return fmt.Errorf("member %q leaves the folder", m.Name)
		}
		if err := unpackMember(m, filepath.Join(dir, filepath.FromSlash(m.Name))); err != nil {
			return fmt.Errorf("member %s: %w", m.Name, err)
		}
		n++
	}
	if n == 0 {
		return fmt.Errorf("none of its %d members begins with %s", len(z.File), strings.Join(keep, " or "))
	}
	return nil
}

func unpackMember(m *zip.File, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	in, err := m.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func hasAnyPrefix(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
