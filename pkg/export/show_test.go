package export

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/qat"
)

// What is printed, and the weights that other programs' readings are compared with.
func TestResultAndDense(t *testing.T) {
	dir, fake := packed(t, func(c *qat.Config) { c.Activation = qat.DefaultConfig().Activation }, nil)
	tmp := t.TempDir()
	out, dense := filepath.Join(tmp, "awq"), filepath.Join(tmp, "dense")
	r := must(Export(dir, out, Options{Format: "awq", WeightsOnly: true}))(t)
	var text strings.Builder
	if err := r.Text(&text, "out"); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"out: awq, 33 layers with ", "33 layers int4 sym g32\n", "note: 33 layers were trained with quantized inputs"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("no %q in\n%s", part, text.String())
		}
	}
	if err := Dense(out, dense); err != nil {
		t.Fatal(err)
	}
	src := must(ckpt.Open(dense))(t)
	defer src.Close()
	if len(src.Infos()) != len(fake) {
		t.Errorf("%d weights, want %d", len(src.Infos()), len(fake))
	}
	for path, want := range fake {
		info, data, err := src.Bytes(path + ".weight")
		if err != nil {
			t.Fatal(err)
		}
		if got := must(floats(info.DType, data))(t); firstDifference(got, want) >= 0 {
			t.Errorf("%s differs", path)
		}
	}
}
