package export

import (
	"fmt"

	"github.com/qakd/qakd/pkg/ckpt"
)

// Dense writes the dequantized weights of a folder, in any format that this package reads, as the safetensors file path:
// <layer>.weight, F32 [out, in]. Other programs' readings can be compared with it.
func Dense(dir, path string) error {
	m, _, err := openModel(dir)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer m.Close()
	var list []ckpt.Tensor
	for _, x := range m.matrices {
		list = append(list, floatTensor(x.path+".weight", "F32", x.dense, x.n, x.k))
	}
	if err := ckpt.Write(path, list, nil); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}
