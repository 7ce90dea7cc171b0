package qat

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/qakd/qakd/pkg/quant"
)

// quantizationConfig is the quantization_config of a compressed-tensors checkpoint.
type quantizationConfig struct {
	Method string                 `json:"quant_method"`
	Format string                 `json:"format"`
	Status string                 `json:"quantization_status"`
	Groups map[string]configGroup `json:"config_groups"`
	Ignore []string               `json:"ignore"`
	Turned *transforms            `json:"transform_config,omitempty"`
}

// configGroup is one scheme and the layers that have it: class names ("Linear"), paths, or "re:" regular expressions.
type configGroup struct {
	Targets           []string   `json:"targets"`
	Weights           *quantArgs `json:"weights"`
	InputActivations  *quantArgs `json:"input_activations"`
	OutputActivations *quantArgs `json:"output_activations"`
	Format            string     `json:"format,omitempty"`
}

type quantArgs struct {
	NumBits   int     `json:"num_bits"`
	Type      string  `json:"type"`
	Symmetric bool    `json:"symmetric"`
	Strategy  string  `json:"strategy"`
	GroupSize *int64  `json:"group_size"`
	Dynamic   any     `json:"dynamic"` // a boolean; other tools also write "local"
	ActOrder  *string `json:"actorder"`
}

const packFormat = "pack-quantized"

// tableGroup begins the names of the groups of embeddings: their targets look like those of layers.
const tableGroup = "embedding_"

// scheme is what a group has in common.
type scheme struct {
	w quant.WeightScheme
	a quant.ActivationScheme
}

// bySchemes sorts layers into their distinct schemes, in the order of the layers.
func bySchemes(layers []LayerPlan) (order []scheme, paths map[scheme][]string) {
	paths = map[scheme][]string{}
	for _, l := range layers {
		s := scheme{l.Weight, l.Activation}
		if paths[s] == nil {
			order = append(order, s)
		}
		paths[s] = append(paths[s], l.Path)
	}
	return order, paths
}

// newQuantizationConfig makes one group per distinct scheme, in the order of the layers. A single one targets every
// Linear that ignore does not name; several name their layers. Embeddings have groups of their own, which name them.
func newQuantizationConfig(layers, tables []LayerPlan, ignore []string, rotations []Rotation) quantizationConfig {
	order, paths := bySchemes(layers)
	cfg := quantizationConfig{
		Method: "compressed-tensors", Format: packFormat, Status: "compressed",
		Groups: map[string]configGroup{}, Ignore: append([]string{}, ignore...), Turned: newTransforms(rotations),
	}
	for i, s := range order {
		targets := paths[s]
		if len(order) == 1 {
			targets = []string{"Linear"}
		}
		cfg.Groups[fmt.Sprintf("group_%d", i)] = configGroup{
			Targets: targets, Weights: weightArgs(s.w), InputActivations: activationArgs(s.a), Format: packFormat,
		}
	}
	order, paths = bySchemes(tables)
	for i, s := range order {
		cfg.Groups[fmt.Sprintf("%s%d", tableGroup, i)] = configGroup{Targets: paths[s], Weights: weightArgs(s.w), Format: packFormat}
	}
	return cfg
}

var strategies = map[quant.Granularity]string{quant.PerTensor: "tensor", quant.PerChannel: "channel", quant.PerGroup: "group"}

func weightArgs(w quant.WeightScheme) *quantArgs {
	a := &quantArgs{NumBits: w.Bits, Type: "int", Symmetric: w.Symmetric, Strategy: strategies[w.Granularity], Dynamic: false}
	if w.Granularity == quant.PerGroup {
		a.GroupSize = &w.GroupSize
	}
	return a
}

func activationArgs(a quant.ActivationScheme) *quantArgs {
	switch a.Mode {
	case quant.DynamicToken:
		return &quantArgs{NumBits: a.Bits, Type: "int", Symmetric: true, Strategy: "token", Dynamic: true}
	case quant.StaticTensor:
		return &quantArgs{NumBits: a.Bits, Type: "int", Symmetric: true, Strategy: "tensor", Dynamic: false}
	}
	return nil
}

// check refuses what this package cannot run.
func (q *quantizationConfig) check() error {
	if q.Method != "compressed-tensors" {
		return fmt.Errorf("quant_method %q, want \"compressed-tensors\"", q.Method)
	}
	if q.Format != packFormat || q.Status != "compressed" {
		return fmt.Errorf("format %q with quantization_status %q, want %q and \"compressed\"", q.Format, q.Status, packFormat)
	}
	if len(q.Groups) == 0 {
		return fmt.Errorf("config_groups is empty")
	}
	if err := q.Turned.check(); err != nil {
		return err
	}
	for name, g := range q.Groups {
		if g.Format != "" && g.Format != packFormat {
			return fmt.Errorf("config_groups.%s: format %q, want %q", name, g.Format, packFormat)
		}
		if _, _, err := g.schemes(); err != nil {
			return fmt.Errorf("config_groups.%s: %w", name, err)
		}
		for _, t := range append(slices.Clone(g.Targets), q.Ignore...) {
			if _, err := targets(t, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// schemes reads a group's arguments.
func (g configGroup) schemes() (w quant.WeightScheme, a quant.ActivationScheme, err error) {
	if g.Weights == nil || g.OutputActivations != nil {
		return w, a, fmt.Errorf("weights %v and output_activations %v, want weights alone", g.Weights != nil, g.OutputActivations != nil)
	}
	x := g.Weights
	if x.Type != "int" || x.NumBits != 4 && x.NumBits != 8 || x.Dynamic == true || x.ActOrder != nil {
		return w, a, fmt.Errorf("weights: %d bits of type %q, dynamic %v, actorder %v, want 4 or 8 static int bits without actorder",
			x.NumBits, x.Type, x.Dynamic, x.ActOrder != nil)
	}
	w = quant.WeightScheme{Bits: x.NumBits, Symmetric: x.Symmetric}
	switch {
	case x.Strategy == "tensor":
	case x.Strategy == "channel":
		w.Granularity = quant.PerChannel
	case x.Strategy == "group" && x.GroupSize != nil && *x.GroupSize > 0:
		w.Granularity, w.GroupSize = quant.PerGroup, *x.GroupSize
	default:
		return w, a, fmt.Errorf("weights: strategy %q, want tensor, channel, or group with a group_size", x.Strategy)
	}
	if x = g.InputActivations; x == nil {
		return w, a, nil
	}
	a.Bits = x.NumBits
	switch {
	case x.Type != "int" || !x.Symmetric:
		return w, a, fmt.Errorf("input_activations: type %q, symmetric %v, want symmetric int", x.Type, x.Symmetric)
	case x.Strategy == "token" && x.Dynamic == true:
		a.Mode = quant.DynamicToken
	case x.Strategy == "tensor" && (x.Dynamic == false || x.Dynamic == nil):
		a.Mode = quant.StaticTensor
	default:
		return w, a, fmt.Errorf("input_activations: strategy %q, dynamic %v, want token with true or tensor with false", x.Strategy, x.Dynamic)
	}
	return w, a, a.Validate()
}

// find is the group of the Linear at path, or nil when the configuration leaves it alone. Ignore wins; then a group that
// names the path or matches it comes before one that names the class.
func (q *quantizationConfig) find(path string) *configGroup {
	for _, t := range q.Ignore {
		if ok, _ := targets(t, path); ok || t == "Linear" { // check has tried the expressions
			return nil
		}
	}
	var byClass *configGroup
	for _, name := range slices.Sorted(maps.Keys(q.Groups)) {
		g := q.Groups[name]
		if g.forTables(name) {
			continue
		}
		for _, t := range g.Targets {
			if ok, _ := targets(t, path); ok {
				return &g
			}
			if t == "Linear" && byClass == nil {
				byClass = &g
			}
		}
	}
	return byClass
}

// forTables tells whether a group is one of embeddings.
func (g configGroup) forTables(name string) bool {
	return strings.HasPrefix(name, tableGroup) || slices.Contains(g.Targets, "Embedding")
}

// findTable is the group of the embedding at path, or nil when the configuration leaves it alone.
func (q *quantizationConfig) findTable(path string) *configGroup {
	for _, name := range slices.Sorted(maps.Keys(q.Groups)) {
		g := q.Groups[name]
		if !g.forTables(name) {
			continue
		}
		for _, t := range g.Targets {
			if ok, _ := targets(t, path); ok || t == "Embedding" && !slices.Contains(q.Ignore, path) {
				return &g
			}
		}
	}
	return nil
}

// targets tells whether an entry of targets or ignore names path; "re:" expressions match from its start, as Python's
// re.match does.
func targets(entry, path string) (bool, error) {
	expr, ok := strings.CutPrefix(entry, "re:")
	if !ok {
		return entry == path, nil
	}
	re, ok := expressions.Load(expr)
	if !ok {
		compiled, err := regexp.Compile("^(?:" + expr + ")")
		if err != nil {
			return false, fmt.Errorf("target %q: %w", entry, err)
		}
		re, _ = expressions.LoadOrStore(expr, compiled)
	}
	return re.(*regexp.Regexp).MatchString(path), nil
}

// expressions are those of targets that were compiled: each is asked about every layer of a model.
var expressions sync.Map

// readConfig parses a config.json, keeping every key as it is.
func readConfig(data []byte) (map[string]json.RawMessage, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, err
	}
	if keys == nil {
		return nil, fmt.Errorf("null, want an object")
	}
	return keys, nil
}
