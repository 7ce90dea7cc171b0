package experiment_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/qakd/qakd/pkg/experiment"
)

// mode is an enum as the packages define them.
type mode string

func (m *mode) UnmarshalText(text []byte) error {
	for _, c := range m.Choices() {
		if c == string(text) {
			*m = mode(text)
			return nil
		}
	}
	return fmt.Errorf("bad mode %q", text)
}

func (*mode) Choices() []string { return []string{"none", "dynamic_token", "static_tensor"} }

// fraction has a text form of its own and no list of choices.
type fraction struct{ num, den int }

func (f *fraction) UnmarshalText(text []byte) error {
	if _, err := fmt.Sscanf(string(text), "%d/%d", &f.num, &f.den); err != nil || f.den == 0 {
		return fmt.Errorf("want a fraction like 1/3")
	}
	return nil
}

func (f fraction) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%d/%d", f.num, f.den), nil }

type stage struct {
	Name string  `toml:"name"`
	Rate float64 `toml:"rate"`
}

type quant struct {
	Bits      int8 `toml:"bits"`
	GroupSize int  `toml:"group_size"`
	Mode      mode `toml:"mode"`
}

// Shared is embedded without a tag: its keys are the outer table's.
type Shared struct {
	Seed int64 `toml:"seed"`
}

type config struct {
	Shared
	Model    string             `toml:"model"`
	Steps    int                `toml:"steps"`
	Rate     float64            `toml:"rate"`
	Workers  uint               `toml:"workers"`
	Fallback bool               `toml:"fallback"`
	Every    time.Duration      `toml:"every"`
	Ratio    fraction           `toml:"ratio"`
	Include  []string           `toml:"include"`
	Weights  map[string]float64 `toml:"weights"`
	Quant    *quant             `toml:"quant"`
	Stages   []stage            `toml:"stages"`
	internal int
	Skipped  int `toml:"-"`
}

var sharedInclude = []string{"built-in", "list"}

func defaults() config {
	return config{internal: 1, Model: "demo", Steps: 1, Rate: 0.5, Workers: 2, Ratio: fraction{1, 2}, Include: sharedInclude,
		Weights: map[string]float64{"built_in": 9}, Quant: &quant{Bits: 4, GroupSize: 1, Mode: "none"}}
}

func (c *config) Validate() error {
	var errs []error
	if c.Steps < 1 {
		errs = append(errs, fmt.Errorf("steps = %d: want at least 1", c.Steps))
	}
	if c.Quant.Bits != 4 && c.Quant.Bits != 8 {
		errs = append(errs, fmt.Errorf("quant.bits = %d: want 4 or 8", c.Quant.Bits))
	}
	return errors.Join(errs...)
}

func good(t *testing.T) *experiment.File {
	t.Helper()
	f, err := experiment.Find("testdata/good.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestResolve(t *testing.T) {
	cfg := defaults()
	before := cfg.Quant
	res, err := good(t).Resolve("v0.6b-w4a8", []string{"model=other dir", "quant.bits = 8", "workers=3"}, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := []experiment.Value{
		{"seed", "100", "[default]"},
		{"model", `"other dir"`, "-set"},
		{"steps", "300", "[experiment.v0.6b-w4a8]"},
		{"rate", "2.0", "[experiment.base]"},
		{"workers", "3", "-set"},
		{"fallback", "false", "built-in"},
		{"every", `"1m30s"`, "[experiment.v0.6b-w4a8]"},
		{"ratio", `"1/3"`, "[experiment.v0.6b-w4a8]"},
		{"include", `["default"]`, "[default]"},
		{"weights.built_in", "9.0", "built-in"},
		{"weights.ce", "0.25", "[experiment.v0.6b-w4a8]"},
		{"weights.eos", "3.0", "[experiment.v0.6b-w4a8]"},
		{"weights.kl", "1.0", "[default]"},
		{"quant.bits", "8", "-set"},
		{"quant.group_size", "200", "[experiment.base]"},
		{"quant.mode", `"dynamic_token"`, "[experiment.v0.6b-w4a8]"},
		{"stages", "[{Name:one Rate:1.5}]", "[experiment.v0.6b-w4a8]"},
	}
	if diff := cmp.Diff(want, res.Values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if cfg.Rate != 2 || cfg.Ratio != (fraction{1, 3}) || cfg.Every != 90*time.Second || cfg.Weights["ce"] != 0.25 {
		t.Errorf("struct: %+v", cfg)
	}
	if sharedInclude[0] != "built-in" || before.Bits != 4 {
		t.Errorf("the defaults were written to: %v %+v", sharedInclude, before)
	}
}

// TestResolvedTOML: the written file resolves to the same values by itself.
func TestResolvedTOML(t *testing.T) {
	cfg := defaults()
	res, err := good(t).Resolve("v0.6b-w4a8", []string{"seed=7"}, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	text, err := res.TOML()
	if err != nil {
		t.Fatal(err)
	}
	f, err := experiment.Parse("written.toml", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var back config
	again, err := f.Resolve("v0.6b-w4a8", nil, &back)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Values) != len(res.Values) {
		t.Errorf("%d values, had %d", len(again.Values), len(res.Values))
	}
	for i, v := range again.Values {
		if v.Key != res.Values[i].Key || v.Value != res.Values[i].Value || v.Origin == experiment.BuiltIn {
			t.Errorf("got %+v, had %+v", v, res.Values[i])
		}
	}
}

func TestPrint(t *testing.T) {
	cfg := defaults()
	res, err := good(t).Resolve("base", nil, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := res.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"key               value        origin\n", "steps             200          [experiment.base]\n"} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("no line %q in\n%s", line, b.String())
		}
	}
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	embedded := []byte("[experiment.inside]\n")
	f, err := experiment.Find("", embedded)
	if err != nil || f.Names()[0] != "inside" {
		t.Fatalf("embedded: %v", err)
	}
	if err := os.WriteFile("experiments.toml", []byte("[experiment.b]\n[experiment.a]\ndescription='x'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if f, err = experiment.Find("", embedded); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]experiment.Entry{{"b", ""}, {"a", "x"}}, f.List()); diff != "" {
		t.Errorf("working folder (-want +got):\n%s", diff)
	}
	if _, err := experiment.Find("absent.toml", embedded); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "absent.toml") {
		t.Errorf("an absent -config must not fall back: %v", err)
	}
}

func TestBadFiles(t *testing.T) {
	const keys = " (keys here: seed, model, steps, rate, workers, fallback, every, ratio, include, weights, quant, stages)"
	want := map[string]string{
		"syntax":                 `line 2`,
		"top_level":              `unknown key "seed": a file holds [default] and [experiment.NAME] tables`,
		"default_not_table":      `default must be a table`,
		"experiment_not_table":   `experiment.x must be a table`,
		"description_not_string": `[experiment.x] description must be a string`,
		"inherits_unknown":       `[experiment.x] inherits: unknown experiment "bsae", did you mean "base"? (known: x, base)`,
		"inherits_itself":        `[experiment.x] inherits itself`,
		"inherits_two_levels":    `[experiment.x] inherits "y", which itself inherits "z": only one level is allowed`,
		"no_such_experiment":     `unknown experiment "x" (known: x1, other)`,
		"unknown_key":            `[experiment.x] quant.groupsize: unknown key, did you mean "group_size"? (keys here: bits, group_size, mode)`,
		"unknown_key_elsewhere":  `[experiment.x] group_size: unknown key, did you mean "quant.group_size"?` + keys,
		"unknown_table":          `[experiment.x] nothing_like_it: unknown key` + keys,
		"unknown_in_default":     `[default] steeps: unknown key, did you mean "steps"?` + keys,
		"unknown_in_list":        `[experiment.x] stages: unknown key rat in the list (keys here: name, rate)`,
		"string_for_integer":     `[experiment.x] steps = "many": want an integer`,
		"float_for_integer":      `[experiment.x] steps = 1000.0: want an integer`,
		"string_for_number":      `[experiment.x] rate = "fast": want a number`,
		"number_for_string":      `[experiment.x] model = 3: want a string`,
		"number_for_bool":        `[experiment.x] fallback = 1: want true or false`,
		"value_for_table":        `[experiment.x] quant = 4: want a table of keys (keys here: bits, group_size, mode)`,
		"table_for_value":        `[experiment.x] steps = map[a:1]: want an integer`,
		"scalar_for_list":        `[experiment.x] include = "a": want a list, each a string`,
		"mixed_list":             `[experiment.x] include = ["a", 1]: want a list, each a string`,
		"out_of_range":           `[experiment.x] quant.bits = 300: 300 is out of range, want an integer between -128 and 127`,
		"negative":               `[experiment.x] workers = -1: -1 is out of range, want an integer of at least 0`,
		"bad_choice":             `[experiment.x] quant.mode = "dynamic_tokn": not a choice, did you mean "dynamic_token"? (choices: none, dynamic_token, static_tensor)`,
		"bad_text":               `[experiment.x] ratio = "1/0": want a fraction like 1/3`,
		"bad_duration":           `[experiment.x] every = "often": want a duration such as "90s"`,
		"invalid":                "experiment x: steps = 0: want at least 1\nquant.bits = 5: want 4 or 8",
		"two_errors":             "[experiment.x] rate = \"a\": want a number\ntestdata/bad/two_errors.toml: [experiment.x] stepz: unknown key, did you mean \"steps\"?" + keys,
		"duplicate":              `line 3 (last key "experiment.x.steps"): Key 'experiment.x.steps' has already been defined`,
		"unquoted_dot":           `[experiment.v0] 6b: unknown key` + keys,
	}
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) != len(want) {
		t.Fatalf("%d files in testdata/bad, %d expectations, %v", len(files), len(want), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".toml")
		t.Run(name, func(t *testing.T) {
			cfg := defaults()
			f, err := experiment.Find(path, nil)
			if err == nil {
				_, err = f.Resolve("x", nil, &cfg)
			}
			if err == nil || !strings.Contains(err.Error(), want[name]) || want[name] == "" {
				t.Fatalf("got  %v\nwant %s", err, want[name])
			}
			if !strings.HasPrefix(err.Error(), path+": ") {
				t.Errorf("message does not begin with the file: %v", err)
			}
		})
	}
}

func TestBadSettings(t *testing.T) {
	tests := []struct{ set, want string }{
		{"seed", `-set "seed": want key=value`},
		{"=1", `want key=value`},
		{"a b=1", `want key=value`},
		{"seed=", `no value (an empty string is "")`},
		{"sed=1", `-set sed: unknown key, did you mean "seed"?`},
		{"steps=abc", `-set steps = "abc": want an integer`},
		{"quant.mode=dynamic", `-set quant.mode = "dynamic": not a choice (choices: none, dynamic_token, static_tensor)`},
		{"steps=1\nseed=2", `-set steps = "1\nseed=2": want an integer`},
		{"steps.x=1", `-set steps = `},
		{"quant={bits=8, bit=1}", `-set quant.bit: unknown key, did you mean "bits"?`},
	}
	for _, tt := range tests {
		cfg := defaults()
		_, err := good(t).Resolve("base", []string{tt.set}, &cfg)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("-set %q: got %v\nwant %s", tt.set, err, tt.want)
		}
		if experiment.ExitCode(err) != experiment.ExitUsage {
			t.Errorf("-set %q: exit code %d, want 2", tt.set, experiment.ExitCode(err))
		}
	}
}

func TestSettings(t *testing.T) {
	cfg := defaults()
	sets := []string{"model=42", "model=1.5e3", "include=[a", "seed=1_000", "rate=3", `include=["x","y"]`, "quant={bits=8}", "weights.kl=0", `ratio=2/3`, "every=5m"}
	if _, err := good(t).Resolve("base", sets[3:], &cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.Seed != 1000 || cfg.Rate != 3 || len(cfg.Include) != 2 || cfg.Quant.Bits != 8 || cfg.Quant.GroupSize != 200 ||
		cfg.Weights["kl"] != 0 || cfg.Ratio != (fraction{2, 3}) || cfg.Every != 5*time.Minute {
		t.Errorf("got %+v %+v", cfg, cfg.Quant)
	}
	if _, err := good(t).Resolve("base", sets[:2], &cfg); err != nil || cfg.Model != "1.5e3" {
		t.Errorf("the later setting wins, as text: %q, %v", cfg.Model, err)
	}
	if _, err := good(t).Resolve("base", []string{`model="quo\"ted"`}, &cfg); err != nil || cfg.Model != `quo"ted` {
		t.Errorf("quoted: %q, %v", cfg.Model, err)
	}
	if _, err := good(t).Resolve("base", []string{`model=C:\dir "x"`}, &cfg); err != nil || cfg.Model != `C:\dir "x"` {
		t.Errorf("bare with quotes: %q, %v", cfg.Model, err)
	}
}
