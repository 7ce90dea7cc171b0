package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/qakd/qakd/pkg/experiment"
)

const fixture = "../../pkg/talker/testdata/tiny-f32"

func model() string { return filepath.Join(fixture, "checkpoint") }

// TestTable: one row a token, with what it is and what it stands for.
func TestTable(t *testing.T) {
	for _, o := range []struct {
		options
		args []string
	}{{options{model: model(), text: "<|im_start|>a calm é\n"}, nil}, {options{model: model()}, []string{"<|im_start|>a", "calm", "é\n"}}} {
		var out bytes.Buffer
		if err := run(nil, &out, o.options, o.args); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		if lines[0] != "9 tokens, 22 bytes" || len(lines) != 15 {
			t.Errorf("%d lines:\n%s", len(lines), &out)
		}
		for _, want := range []string{`│     0 │ 421 │ <|im_start|> │ "<|im_start|>" │ added │`, `│ Ã            │ "\xc3"`, `│ Ċ            │ "\n"`} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, &out)
			}
		}
	}
}

// TestJSON: the ids of the reference, with both splits, and nothing else.
func TestJSON(t *testing.T) {
	var golden struct {
		Cases []struct {
			Text  string  `json:"text"`
			Qwen2 []int32 `json:"ids"`
			Cased []int32 `json:"ids_local_dir_split"`
		} `json:"cases"`
	}
	data, err := os.ReadFile(filepath.Join(fixture, "golden", "tokenizer.json"))
	if err == nil {
		err = json.Unmarshal(data, &golden)
	}
	if err != nil || len(golden.Cases) < 20 {
		t.Fatalf("%v, %d cases", err, len(golden.Cases))
	}
	var texts []string
	want := map[string][][]int32{}
	for _, c := range golden.Cases {
		texts = append(texts, c.Text)
		for split, ids := range map[string][]int32{"": c.Qwen2, "qwen2": c.Qwen2, "cased": c.Cased} {
			want[split] = append(want[split], ids)
		}
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	for split, ids := range want {
		var out bytes.Buffer
		if err := run(bytes.NewReader(in), &out, options{model: model(), json: true, split: split}, nil); err != nil {
			t.Fatal(err)
		}
		var got [][]int32
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", split, diff)
		}
	}
	var out bytes.Buffer
	if err := run(strings.NewReader(`[""]`), &out, options{json: true}, nil); err != nil || out.String() != "[[]]\n" { // the demo's
		t.Errorf("%q %v", &out, err)
	}
	out.Reset()
	if err := run(strings.NewReader(" []\n"), &out, options{json: true, model: model()}, nil); err != nil || out.String() != "[]\n" {
		t.Errorf("%q %v", &out, err)
	}
}

func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		o    options
		in   string
		args []string
		code int
		want string
	}{
		"nothing":    {options{}, "", nil, 2, "no text, want -text or arguments"},
		"both":       {options{text: "a"}, "", []string{"b"}, 2, `-text and argument "b"`},
		"json, text": {options{json: true, text: "a"}, "[]", nil, 2, "-json reads its texts from standard input"},
		"split":      {options{text: "a", split: "gpt2"}, "", nil, 2, `-split is "gpt2", want qwen2 or cased`},
		"model":      {options{text: "a", model: "nowhere"}, "", nil, 1, "nowhere: no text tokenizer: neither vocab.json nor tokenizer.json"},
		"empty":      {options{json: true}, " \n", nil, 1, "standard input is empty, want a JSON array of strings"},
		"object":     {options{json: true}, `{"a":1}`, nil, 1, "standard input: json: cannot unmarshal object"},
		"number":     {options{json: true}, `["a",1]`, nil, 1, "standard input: json: cannot unmarshal number"},
		"null":       {options{json: true}, `null`, nil, 1, "standard input is null"},
		"null text":  {options{json: true}, `["a",null]`, nil, 1, "standard input: text 1 is null"},
		"cut":        {options{json: true}, `["a"`, nil, 1, "standard input: unexpected end of JSON input"},
		"two":        {options{json: true}, `["a"]["b"]`, nil, 1, "standard input: invalid character '['"},
		"Latin-1":    {options{json: true}, "[\"caf\xe9\"]", nil, 1, "standard input is no UTF-8"},
	} {
		var out bytes.Buffer
		err := run(strings.NewReader(tt.in), &out, tt.o, tt.args)
		if err == nil || !strings.Contains(err.Error(), tt.want) || experiment.ExitCode(err) != tt.code || out.Len() > 0 {
			t.Errorf("%s: code %d, %v, want %d, %s; printed %q", name, experiment.ExitCode(err), err, tt.code, tt.want, &out)
		}
	}
}
