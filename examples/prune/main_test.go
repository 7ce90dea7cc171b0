package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
)

const model = "../../pkg/talker/testdata/tiny-f32/checkpoint"

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	o := options{model: model, texts: filepath.Join(dir, "texts.jsonl"), out: filepath.Join(dir, "out")}
	write := func(s string) {
		if err := os.WriteFile(o.texts, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("{\"text\": \"hello world\", \"instruct\": \"slowly\"}\n\n{\"text\": \"and so on\"}\n")
	var out bytes.Buffer
	if err := run(&out, o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), " text ids are kept, ") {
		t.Errorf("it says %q", out.String())
	}
	h, err := ckpt.HeaderOnly(o.out)
	if err != nil {
		t.Fatal(err)
	}
	before, err := ckpt.HeaderOnly(model)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Infos) != len(before.Infos)+1 || h.Bytes >= before.Bytes {
		t.Errorf("%d tensors and %d bytes, want one tensor more than %d and fewer bytes than %d", len(h.Infos), h.Bytes, len(before.Infos), before.Bytes)
	}
	write("{\"text\": \"a\"}\n{\"texts\": \"b\"}\n")
	if err := run(&out, o); err == nil || !strings.Contains(err.Error(), `texts.jsonl:2: no "text"`) {
		t.Errorf("error %v, want the line without text", err)
	}
	if err := run(&out, options{}); err == nil || !strings.Contains(err.Error(), "want all three") {
		t.Errorf("error %v, want that of missing flags", err)
	}
}
