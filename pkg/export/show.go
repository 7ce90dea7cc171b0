package export

import (
	"fmt"
	"io"

	"github.com/qakd/qakd/pkg/report"
)

// Text prints a result: what is in the folder dir, and the notes.
func (r *Result) Text(w io.Writer, dir string) error {
	_, err := fmt.Fprintf(w, "%s: %s, %d layers with %d weights, %s in %d files\n", dir, r.Format, r.Layers, r.Weights, report.Bytes(r.Bytes), len(r.Files))
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(r.Schemes) {
		if _, err := fmt.Fprintf(w, "  %d layers %s\n", r.Schemes[name], name); err != nil {
			return err
		}
	}
	for _, note := range r.Notes {
		if _, err := fmt.Fprintf(w, "note: %s\n", note); err != nil {
			return err
		}
	}
	return nil
}
