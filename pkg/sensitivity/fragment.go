package sensitivity

import (
	"fmt"
	"strings"

	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/report"
)

// planned are the keys of an experiment that a plan sets.
var planned = []string{"quant.exclude", "quant.overrides", "quant.embeddings."}

// Experiment is an experiment of the given name that makes the plan, as TOML: what values has beyond the built-in defaults, and
// the plan in the place of the rules there. It stands alone as an experiments file, and may be put into one.
func (p *Plan) Experiment(name string, values []experiment.Value) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[experiment.%s]\n", experiment.Quote(name))
	fmt.Fprintf(&b, "description = %s\n", experiment.Quote(fmt.Sprintf("mixed precision: %s of %s, predicted KL %s nats per frame",
		report.Bytes(p.Bytes), report.Bytes(p.Budget), report.Cell(p.Damage))))
	for _, v := range values {
		if v.Origin != experiment.BuiltIn && !isPlanned(v.Key) {
			fmt.Fprintf(&b, "%s = %s\n", v.Key, v.Value)
		}
	}
	b.WriteString(p.Fragment())
	return b.String()
}

func isPlanned(key string) bool {
	for _, prefix := range planned {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// Fragment is the part of an experiment that makes the plan, as TOML: quant.exclude, quant.overrides and quant.embeddings.
func (p *Plan) Fragment() string {
	var b strings.Builder
	b.WriteString("quant.exclude = " + list(p.Quant.Exclude, "") + "\n")
	var overrides []string
	for _, o := range p.Quant.Overrides {
		text := "include = " + list(o.Include, "    ")
		if o.Weight != nil {
			text += ", weight = " + weight(*o.Weight)
		}
		if o.Activation != nil {
			text += fmt.Sprintf(", activation = { bits = %d, mode = %q }", o.Activation.Bits, o.Activation.Mode)
		}
		overrides = append(overrides, text)
	}
	inline(&b, "quant.overrides", overrides)
	tables(&b, p.Quant.Embeddings)
	return b.String()
}

func tables(b *strings.Builder, e qat.EmbeddingConfig) {
	fmt.Fprintf(b, "quant.embeddings.bits = %d\n", e.Bits)
	fmt.Fprintf(b, "quant.embeddings.group_size = %d\n", e.GroupSize)
	b.WriteString("quant.embeddings.include = " + list(e.Include, "") + "\n")
	b.WriteString("quant.embeddings.exclude = " + list(e.Exclude, "") + "\n")
	var overrides []string
	for _, o := range e.Overrides {
		overrides = append(overrides, fmt.Sprintf("include = %s, bits = %d, group_size = %d", list(o.Include, "    "), o.Bits, o.GroupSize))
	}
	inline(b, "quant.embeddings.overrides", overrides)
}

// inline writes a list of inline tables, one a line.
func inline(b *strings.Builder, key string, tables []string) {
	b.WriteString(key + " = [")
	for _, t := range tables {
		b.WriteString("\n  { " + t + " },")
	}
	if len(tables) > 0 {
		b.WriteString("\n")
	}
	b.WriteString("]\n")
}

func weight(w quant.WeightScheme) string {
	group := ""
	if w.Granularity == quant.PerGroup {
		group = fmt.Sprintf(", group_size = %d", w.GroupSize)
	}
	return fmt.Sprintf("{ bits = %d, symmetric = %t, granularity = %q%s }", w.Bits, w.Symmetric, w.Granularity, group)
}

// list is a TOML list of strings, one a line unless it is short.
func list(words []string, indent string) string {
	quoted := make([]string, len(words))
	length := 0
	for i, w := range words {
		quoted[i] = experiment.Quote(w)
		length += len(quoted[i]) + 2
	}
	if length <= 100 {
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return "[\n" + indent + "  " + strings.Join(quoted, ",\n"+indent+"  ") + ",\n" + indent + "]"
}
