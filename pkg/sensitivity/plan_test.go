package sensitivity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
)

// readBack resolves a fragment as the programs do, over the defaults.
func readBack(t testing.TB, p *Plan, base qat.Config) qat.Config {
	t.Helper()
	values := []experiment.Value{
		{Key: "quant.masters", Value: `"bfloat16"`, Origin: "[experiment.x]"}, {Key: "quant.init", Value: `"nonsense"`, Origin: experiment.BuiltIn},
		{Key: "quant.exclude", Value: `["**"]`, Origin: "-set"}, {Key: "quant.embeddings.bits", Value: `5`, Origin: "-set"},
	}
	text := p.Experiment("x-mixed", values)
	file, err := experiment.Parse("plan.toml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	e := struct {
		Quant qat.Config `toml:"quant"`
	}{base}
	if _, err := file.Resolve("x-mixed", nil, &e); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if e.Quant.Masters != "bfloat16" {
		t.Errorf("the experiment's own values are lost:\n%s", text)
	}
	return e.Quant
}

// bases are configurations to plan on: the default, and one with rules, exclusions and patterns of its own.
func bases() map[string]qat.Config {
	ruled := qat.DefaultConfig()
	ruled.Exclude = []string{"talker.text_projection.**", "talker.model.layers.1.mlp.*"}
	ruled.Overrides = []qat.Override{
		{Include: []string{"talker.code_predictor.**"}, Activation: &quant.ActivationScheme{}},
		{Include: []string{"talker.codec_head"}, Weight: &quant.WeightScheme{Bits: 8, Granularity: quant.PerChannel}},
	}
	ruled.Embeddings = qat.EmbeddingConfig{Bits: 8, Include: []string{"talker.code_predictor.model.codec_embedding.[0-4]", "talker.model.*"}, Exclude: []string{"**.text_embedding"}}
	return map[string]qat.Config{"default": qat.DefaultConfig(), "ruled": ruled}
}

// Whatever is chosen, the experiment that is written makes exactly that: read back and resolved, every layer and table has its
// form, and nothing else is quantized; and the size of the file is foreseen, from above, within a thousandth.
func TestPlanReadsBack(t *testing.T) {
	m, source := teacher(t)
	for name, base := range bases() {
		inventory := must(NewInventory(m, source, base, DefaultConfig()))(t)
		for seed := range uint64(10) {
			r := rand.New(rand.NewPCG(seed, 1))
			plan, sum := &Plan{}, inventory.Fixed
			usual := map[string]int{} // kinds agree, in whole or in part
			for _, p := range inventory.Parts {
				at, ok := usual[kind(p.Path)]
				if !ok || r.IntN(4) < int(seed%3) {
					at = r.IntN(len(p.Forms))
					usual[kind(p.Path)] = at
				}
				f := p.Forms[at]
				plan.Choices = append(plan.Choices, Choice{Path: p.Path, Table: p.Table, Scheme: f.Scheme(), form: f})
				sum += f.Bytes
			}
			plan.Quant = inventory.configure(plan.Choices)
			size := must(inventory.size(plan))(t)
			if size > sum || float64(sum-size) > 1e-3*float64(size) {
				t.Fatalf("%s: %d bytes foreseen, the file has %d", name, sum, size)
			}
			resolved, err := qat.NewPlan(m, readBack(t, plan, base))
			if err == nil {
				err = plan.Check(resolved)
			}
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, plan.Fragment())
			}
			if d := cmp.Diff(must(qat.NewPlan(m, plan.Quant))(t), resolved); d != "" {
				t.Fatalf("%s (-planned +read):\n%s", name, d)
			}
		}
	}
}

// made up damages: larger for few bits, and for the talker.
func madeUp(inventory *Inventory) *Table {
	t := NewTable(Origin{})
	for i, p := range inventory.Parts {
		for _, f := range p.Forms {
			if f.Float() {
				continue
			}
			d := math.Pow(0.3, float64(f.Plan.Weight.Bits)) * (1 + float64(i%7)) * (1 + float64(f.Plan.Weight.GroupSize)/64)
			t.Damages = append(t.Damages, Damage{Path: p.Path, Scheme: f.Scheme(), Activation: p.activation(f), KL: []float64{d / 4, d * 3 / 4}})
		}
	}
	return t
}

// A plan's file, written, has the size that the plan says, which is in the budget and close to it; more budget does no more
// damage; and budgets below and above everything are told and used.
func TestAllocate(t *testing.T) {
	m, source := teacher(t)
	inventory := must(NewInventory(m, source, qat.DefaultConfig(), DefaultConfig()))(t)
	table := madeUp(inventory)
	last := math.Inf(1)
	for _, budget := range []int64{1_800_000, 2_200_000, 3_000_000, 5_000_000} {
		plan := must(inventory.Allocate(table, budget))(t)
		if plan.Bytes > budget || float64(plan.Bytes) < 0.99*float64(budget) || plan.Damage > last {
			t.Errorf("budget %d: %d bytes, damage %g, with less budget %g", budget, plan.Bytes, plan.Damage, last)
		}
		last = plan.Damage
		if budget != 2_200_000 {
			continue
		}
		student := must(talker.Load(source, talker.Options{}))(t)
		defer student.Close()
		must(qat.Prepare(student, plan.Quant))(t)
		dir := filepath.Join(t.TempDir(), "packed")
		must(qat.SaveCheckpoint(dir, student, qat.SaveOptions{Source: source}))(t)
		info := must(os.Stat(filepath.Join(dir, "model.safetensors")))(t)
		if info.Size() != plan.Bytes {
			t.Errorf("the plan has %d bytes, its file %d", plan.Bytes, info.Size())
		}
		var total int64
		for _, c := range plan.Choices {
			total += c.Bytes
		}
		if tables := plan.Tables(); len(tables[0].Rows) != len(plan.Choices) || total >= plan.Bytes {
			t.Errorf("%d rows for %d choices of %d bytes, the file has %d", len(tables[0].Rows), len(plan.Choices), total, plan.Bytes)
		}
	}
	all := must(inventory.Allocate(table, 1<<40))(t)
	if resolved := must(qat.NewPlan(m, all.Quant))(t); all.Damage != 0 || len(resolved.Layers)+len(resolved.Tables) != 0 {
		t.Errorf("room for everything: damage %g, %d layers and %d tables quantized", all.Damage, len(resolved.Layers), len(resolved.Tables))
	}
	_, err := inventory.Allocate(table, 1_000_000)
	if err == nil {
		t.Fatal("no error for a budget that is too small")
	}
	var floor int64
	if _, scan := fmt.Sscanf(err.Error()[strings.LastIndex(err.Error(), "(")+1:], "%d bytes", &floor); scan != nil {
		t.Fatalf("%v names no floor", err)
	}
	must(inventory.Allocate(table, floor))(t)
	if _, err := inventory.Allocate(table, floor-1); err == nil {
		t.Error("a byte less than the floor is enough")
	}
	if _, err := inventory.Allocate(NewTable(Origin{}), 1<<40); err == nil || !strings.Contains(err.Error(), "is not measured") {
		t.Errorf("error without damages: %v", err)
	}
}

func TestConfigViolations(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"bits is [4 5]":                          func(c *Config) { c.Bits = []int{4, 5} },
		"groups is empty":                        func(c *Config) { c.Groups = nil },
		"table_bits is [8 8]":                    func(c *Config) { c.TableBits = []int{8, 8} },
		"table_groups is [16]":                   func(c *Config) { c.TableGroups = []int64{16} },
		`method is "none", want one that`:        func(c *Config) { c.Method = "none" },
		`method is "awq", want one that`:         func(c *Config) { c.Method = "awq" },
		`method is "smoothquant-gptq", want one`: func(c *Config) { c.Method = "smoothquant-gptq" },
		`without folds and rotations (autoround, clip, gptq, hqq, hqq-imatrix, imatrix, mse, rtn, rtn-absmax, rtn-full)`: func(c *Config) { c.Method = "rotate-gptq" },
		"utterances is 0": func(c *Config) { c.Utterances = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

// Layers are rounded by the method in the model that the calibration makes: rotated if it rotates, and without folds.
func TestRounding(t *testing.T) {
	cfg := calib.DefaultConfig()
	cfg.Rotation, cfg.Fold, cfg.WeightMethod = calib.RotateHadamard, calib.FoldAWQ, calib.RoundGPTQ
	for method, want := range map[string]calib.WeightMethod{"": calib.RoundGPTQ, "rtn": calib.AbsMaxHalf} {
		c := DefaultConfig()
		c.Method = method
		got, err := c.Rounding(cfg)
		if err != nil || got.Rotation != calib.RotateHadamard || got.Fold != calib.FoldNone || got.WeightMethod != want {
			t.Errorf("method %q: rotation %s, fold %s, weight method %s (%v)", method, got.Rotation, got.Fold, got.WeightMethod, err)
		}
	}
}
