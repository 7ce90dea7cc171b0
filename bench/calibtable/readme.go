package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
)

// What is generated stands between these lines.
const (
	begin = "<!-- make table-calib writes from here -->\n"
	end   = "<!-- to here -->\n"
)

// between is the generated part of a text, with what stands before and after it.
func between(path, text string) (before, inside, after string, err error) {
	before, rest, ok := strings.Cut(text, begin)
	inside, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", "", "", fmt.Errorf("%s has no lines %q and %q, between which the table goes", path, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin, inside, end + after, nil
}

// replace puts the generated part of the file at path in the place of the last one.
func replace(path, generated string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, _, after, err := between(path, string(text))
	if err != nil {
		return err
	}
	return fsx.WriteBytes(path, []byte(before+"\n"+generated+"\n"+after))
}
