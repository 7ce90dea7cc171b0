package demo

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/internal/fsx"
)

// The teacher's checkpoint folder. Its weights are made by examples/pretrain, those of its speech tokenizer by
// examples/voice.
//
//go:embed teacher
var teacher embed.FS

const weightsFile = "model.safetensors"

// TeacherDir is a folder with the built-in teacher's checkpoint. It is written once, to the user's cache, under a name
// that depends on its content.
func TeacherDir() (string, error) {
	hash := sha256.New()
	err := eachFile(func(name string, content []byte) error {
		fmt.Fprintf(hash, "%s %d\n", name, len(content))
		hash.Write(content)
		return nil
	})
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("demo: no folder for the built-in teacher: %w", err)
	}
	dir := filepath.Join(cache, "qakd", "demo-teacher-"+hex.EncodeToString(hash.Sum(nil)[:6]))
	if _, err := os.Stat(filepath.Join(dir, weightsFile)); err == nil {
		return dir, nil
	}
	err = fsx.PublishDir(dir, func(tmp string) error { return writeFiles(tmp, func(string) bool { return true }) })
	if err != nil && !errors.Is(err, fs.ErrExist) { // another process was quicker
		return "", fmt.Errorf("demo: built-in teacher: %w", err)
	}
	return dir, nil
}

// WriteSettings writes the teacher's files without the talker's weights into a folder: configuration, text tokenizer and
// speech tokenizer.
func WriteSettings(dir string) error {
	return writeFiles(dir, func(name string) bool { return name != weightsFile })
}

func writeFiles(dir string, want func(name string) bool) error {
	return eachFile(func(name string, content []byte) error {
		if !want(name) {
			return nil
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		return fsx.WriteBytes(path, content)
	})
}

// eachFile of the teacher's folder, in order of names, which are relative to it and have slashes.
func eachFile(f func(name string, content []byte) error) error {
	root, err := fs.Sub(teacher, "teacher")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		return f(name, content)
	})
}

// TeacherConfig is the teacher's config.json: a custom-voice talker of the real architecture, with the ids of the
// published codec vocabulary at their usual distance above the codebook.
func TeacherConfig() ([]byte, error) { return teacher.ReadFile("teacher/config.json") }
