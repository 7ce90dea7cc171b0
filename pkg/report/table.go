package report

import (
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// Table is a titled grid of cells. Every row has as many cells as there are
// columns.
type Table struct {
	Title   string // "" for none
	Columns []string
	Rows    [][]string
}

// Add appends a row, each cell formatted by Cell.
func (t *Table) Add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = Cell(c)
	}
	t.Rows = append(t.Rows, row)
}

// Cell formats a value: floats with four significant digits, everything else
// as fmt.Sprint does, nil as "-".
func Cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case float64:
		return Significant(v, 4)
	case float32:
		return Significant(float64(v), 4)
	}
	return fmt.Sprint(v)
}

// Significant formats v with that many significant digits, without an exponent
// where the number stays readable: 0.01234, 1.234, 123400.
func Significant(v float64, digits int) string {
	abs := math.Abs(v)
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) || abs < 1e-4 || abs >= 1e7 {
		return strconv.FormatFloat(v, 'g', digits, 64)
	}
	decimals := max(0, digits-1-int(math.Floor(math.Log10(abs))))
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// Bytes formats a size with a binary unit: 512 B, 1.50 MiB.
func Bytes(n int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.2f %s", v, units[i])
}

// Text writes the table with box-drawing borders, for a terminal.
func (t *Table) Text(w io.Writer) error {
	if t.Title != "" {
		if _, err := fmt.Fprintln(w, t.Title); err != nil {
			return err
		}
	}
	r := renderer.NewBlueprint(tw.Rendition{Symbols: tw.NewSymbols(tw.StyleRounded)})
	return t.render(w, r, func(s string) string { return s })
}

// Markdown writes the table in GitHub's Markdown, under a bold title.
func (t *Table) Markdown(w io.Writer) error {
	if t.Title != "" {
		if _, err := fmt.Fprintf(w, "**%s**\n\n", escape(t.Title)); err != nil {
			return err
		}
	}
	return t.render(w, renderer.NewMarkdown(), escape)
}

// escape protects what would end a Markdown cell; the renderer does not.
func escape(s string) string {
	return strings.NewReplacer("|", `\|`, "\r\n", "<br>", "\n", "<br>").Replace(s)
}

func (t *Table) render(w io.Writer, r tw.Renderer, cell func(string) string) error {
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return fmt.Errorf("report: table %q: row %d has %d cells, want %d", t.Title, i, len(row), len(t.Columns))
		}
	}
	align := t.alignments()
	// Auto-format would turn the header "SQNR dB" into "SQNR D B".
	section := tw.CellConfig{
		Formatting: tw.CellFormatting{AutoFormat: tw.Off, AutoWrap: tw.WrapNone},
		Alignment:  tw.CellAlignment{Global: tw.AlignLeft, PerColumn: align},
		Padding:    tw.CellPadding{Global: tw.PaddingDefault},
	}
	table := tablewriter.NewTable(w, tablewriter.WithRenderer(r), tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderConfig(section), tablewriter.WithRowConfig(section),
		tablewriter.WithHeaderAutoFormat(tw.Off), tablewriter.WithRowAutoFormat(tw.Off))
	table.Header(mapped(t.Columns, cell))
	for _, row := range t.Rows {
		if err := table.Append(mapped(row, cell)); err != nil {
			return fmt.Errorf("report: table %q: %w", t.Title, err)
		}
	}
	if err := table.Render(); err != nil {
		return fmt.Errorf("report: table %q: %w", t.Title, err)
	}
	return nil
}

func mapped(cells []string, f func(string) string) []string {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = f(c)
	}
	return out
}

// number is a number with an optional unit, or a placeholder for none.
var number = regexp.MustCompile(`^([+-]?[0-9][0-9,_]*(\.[0-9]+)?([eE][+-]?[0-9]+)?( ?(±) ?[0-9.]+)?( ?(%|x|dB|B|[KMGT]iB|ms|s|nats|bits))?|[+-]?(Inf|inf)|NaN|-|)$`)

// alignments right-aligns the columns that hold numbers only.
func (t *Table) alignments() []tw.Align {
	out := make([]tw.Align, len(t.Columns))
	for c := range t.Columns {
		out[c] = tw.AlignLeft
		digits := false
		for _, row := range t.Rows {
			if !number.MatchString(row[c]) {
				digits = false
				break
			}
			digits = digits || strings.ContainsAny(row[c], "0123456789NI")
		}
		if digits {
			out[c] = tw.AlignRight
		}
	}
	return out
}
