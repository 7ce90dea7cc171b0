// Package report prints results: tables as text or Markdown, and whole results
// as one JSON object.
//
//	t := report.Table{Title: "Recovery", Columns: []string{"row", "KL", "bytes"}}
//	t.Add("teacher", 0.0, 8_000_000)
//	t.Add("int4-distilled", 0.0123, 2_400_000)
//	err := t.Text(os.Stdout)
//
// Columns of numbers are right-aligned, all others left. It knows nothing of
// torch and builds without cgo.
package report
