package sensitivity

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/qakd/qakd/internal/fsx"
)

const format = 1

// Origin is what measured damages depend on.
type Origin struct {
	Model       string `json:"model"`       // hash of the teacher's weights and configuration
	Calibration string `json:"calibration"` // hash of the data of the statistics
	Selection   string `json:"selection"`   // hash of the data that the damage is measured on
	Settings    string `json:"settings"`    // of rounding and measuring
}

// Damage is what one form of one part does.
type Damage struct {
	Path       string    `json:"path"`
	Scheme     string    `json:"scheme"`     // of the weight, as fitted
	Activation string    `json:"activation"` // of the input
	KL         []float64 `json:"kl"`         // [G] nats per frame, by codebook
}

// Total is the sum over codebooks.
func (d Damage) Total() (sum float64) {
	for _, v := range d.KL {
		sum += v
	}
	return sum
}

// Table holds the damages that have been measured, in the order of their measurement.
type Table struct {
	Format  int      `json:"format"`
	Origin  Origin   `json:"origin"`
	Damages []Damage `json:"damages"`
}

// NewTable is an empty table.
func NewTable(from Origin) *Table { return &Table{Format: format, Origin: from} }

// LoadTable reads what Save wrote. It is an error when it was measured on another model, other data or with other settings.
func LoadTable(path string, want Origin) (*Table, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sensitivity: %w", err)
	}
	t := &Table{}
	if err := json.Unmarshal(text, t); err != nil {
		return nil, fmt.Errorf("sensitivity: %s: %w", path, err)
	}
	if t.Format != format {
		return nil, fmt.Errorf("sensitivity: %s: format %d, want %d", path, t.Format, format)
	}
	for _, f := range []struct{ what, have, want string }{
		{"another model", t.Origin.Model, want.Model}, {"other calibration data", t.Origin.Calibration, want.Calibration},
		{"other selection data", t.Origin.Selection, want.Selection}, {"other settings", t.Origin.Settings, want.Settings},
	} {
		if f.have != f.want {
			return nil, fmt.Errorf("sensitivity: %s was measured with %s: %s, now %s", path, f.what, f.have, f.want)
		}
	}
	return t, nil
}

// Save writes the table, atomically.
func (t *Table) Save(path string) error {
	text, err := json.MarshalIndent(t, "", " ")
	if err != nil {
		return fmt.Errorf("sensitivity: %w", err)
	}
	return fsx.WriteBytes(path, append(text, '\n'))
}

// Find is the damage of a form of p; ok is false while it has not been measured. Float forms do none.
func (t *Table) Find(p Part, f Form) (d Damage, ok bool) {
	if f.Float() {
		return Damage{Path: p.Path, Scheme: Float}, true
	}
	for _, d := range t.Damages {
		if d.Path == p.Path && d.Scheme == f.Scheme() && d.Activation == p.activation(f) {
			return d, true
		}
	}
	return d, false
}

// Count is how many quantized forms parts have, and how many of them have been measured.
func (t *Table) Count(parts []Part) (done, total int64) {
	for _, p := range parts {
		for _, f := range p.Forms {
			if f.Float() {
				continue
			}
			if _, ok := t.Find(p, f); ok {
				done++
			}
			total++
		}
	}
	return done, total
}

// activation names how the form's input is quantized.
func (p Part) activation(f Form) string {
	if p.Table {
		return "embedding"
	}
	return f.Plan.Activation.String()
}
