package report

import (
	"encoding/json"
	"fmt"
	"io"
)

// JSON writes v as one indented JSON object and a line break, in one write: it
// is all there or, on an error, not there at all. A NaN or an infinity, which
// JSON cannot say, is an error.
func JSON(w io.Writer, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if data[0] != '{' {
		return fmt.Errorf("report: a result is one JSON object, not %T", v)
	}
	_, err = w.Write(append(data, '\n'))
	return err
}
