package inspect_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/inspect"
	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

// tablesInt8 is a packed checkpoint with its embeddings in 8 bits.
func tablesInt8(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "packed")
	m, err := talker.Load(sharded, talker.Options{})
	must(t, err)
	defer m.Close()
	cfg := config()
	cfg.Embeddings.Bits = 8
	_, err = qat.Prepare(m, cfg)
	must(t, err)
	_, err = qat.SaveCheckpoint(dir, m, qat.SaveOptions{Source: sharded})
	must(t, err)
	return dir
}

// Quantized tables are shown by every view: as what they are, in bytes, and as many parameters as before.
func TestTables(t *testing.T) {
	dir := tablesInt8(t)
	m := look[*inspect.Model](t, dir, "model", inspect.Options{})
	if m.Parameters != 445_024 || m.Checks[0].Verdict != inspect.OK {
		t.Errorf("%d parameters, %+v", m.Parameters, m.Checks)
	}
	first := look[*inspect.Layers](t, dir, "layers", inspect.Options{}).Layers[0]
	if first.Path != talker.TextTable || first.Kind != "embedding" || first.DType != "int8 in I32" || first.Bytes != first.Out*first.In+2*first.Out+16 {
		t.Errorf("%+v", first) // codes, a scale each row, weight_shape
	}
	q := look[*inspect.Quant](t, dir, "quant", inspect.Options{})
	if len(q.Embeddings) < 3 || q.Embeddings[0].Path != talker.TextTable || q.Embeddings[0].Weight.Bits != 8 || q.AllEmbeddings.BytesAfter >= q.AllEmbeddings.BytesBefore {
		t.Errorf("tables %+v, %+v", q.Embeddings, q.AllEmbeddings)
	}
	if n := q.Params + q.AllEmbeddings.Params + q.Rest.Parameters; n != 445_024 {
		t.Errorf("%d parameters in all", n)
	}
	if text := print(t, q); !strings.Contains(text, "quantized embeddings") {
		t.Error(text)
	}
	for name, verdict := range verdicts(look[*inspect.Vocab](t, dir, "vocab", inspect.Options{})) {
		if strings.Contains(name, "table") && verdict != inspect.OK {
			t.Errorf("%s: %s", name, verdict)
		}
	}
}

// The model view says whether the interleaved file is there, and whether it is the checkpoint's.
func TestInterleaved(t *testing.T) {
	_, _, dir := forms(t)
	check := func() inspect.Check {
		for _, c := range look[*inspect.Model](t, dir, "model", inspect.Options{}).Checks {
			if c.Name == "interleaved file" {
				return c
			}
		}
		t.Fatal("no check of the interleaved file")
		return inspect.Check{}
	}
	if c := check(); c.Verdict != inspect.Absent {
		t.Errorf("%+v, want none", c)
	}
	f, err := int4.Cached(dir)
	must(t, err)
	must(t, f.Close())
	if c := check(); c.Verdict != inspect.OK || !strings.Contains(c.Detail, "of this checkpoint by its stamp") {
		t.Errorf("%+v, want the file of this checkpoint", c)
	}
	config := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(config)
	must(t, err)
	must(t, os.WriteFile(config, append(data, '\n'), 0o644))
	if c := check(); c.Verdict != inspect.OK || !strings.Contains(c.Detail, "copied or changed") {
		t.Errorf("%+v, want that the checkpoint has changed", c)
	}
	interleaved, err := os.OpenFile(filepath.Join(dir, int4.FileName), os.O_RDWR, 0)
	must(t, err)
	info, err := interleaved.Stat()
	must(t, err)
	last := make([]byte, 1)
	_, err = interleaved.ReadAt(last, info.Size()-1)
	must(t, err)
	last[0] ^= 1
	_, err = interleaved.WriteAt(last, info.Size()-1)
	must(t, err)
	must(t, interleaved.Close())
	if c := check(); c.Verdict != inspect.Wrong || !strings.Contains(c.Detail, "is damaged") {
		t.Errorf("%+v, want a damaged matrix", c)
	}
	must(t, os.Truncate(filepath.Join(dir, int4.FileName), 300))
	if c := check(); c.Verdict != inspect.Wrong || !strings.Contains(c.Detail, "truncated") {
		t.Errorf("%+v, want that it is cut", c)
	}
}
