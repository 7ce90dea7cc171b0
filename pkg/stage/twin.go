package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// outlierShare is the share of a norm's channels that a twin makes larger.
const outlierShare = 1. / 64

// Twin writes, once, into the user's cache, the outlier twin of the checkpoint at source: in each block the gains of a few
// channels of both norms are factor times as large and the columns of the weights that read them as much smaller. It is the
// same function up to rounding, of float32 weights, with the outliers in its activations that trained models of billions of
// weights have. What comes back is the folder.
func Twin(source string, factor float64) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("twin: no folder for it: %w", err)
	}
	dir := filepath.Join(cache, "qakd", fmt.Sprintf("%s-twin-%g", filepath.Base(source), factor))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	m, err := talker.Load(source, talker.Options{DType: gotch.Float})
	if err != nil {
		return "", err
	}
	defer m.Close()
	for _, f := range folds(m) {
		if f.Gain == nil {
			continue
		}
		if err := f.Apply(outliers(f, factor)); err != nil {
			return "", fmt.Errorf("twin: %w", err)
		}
	}
	var tensors []ckpt.Tensor
	for _, p := range nn.Params(m) {
		t, err := nn.Stored(p, "F32")
		if err != nil {
			return "", fmt.Errorf("twin: %w", err)
		}
		tensors = append(tensors, t)
	}
	err = fsx.PublishDir(dir, func(tmp string) error {
		if err := copySettings(tmp, source); err != nil {
			return err
		}
		return ckpt.Write(filepath.Join(tmp, "model.safetensors"), tensors, map[string]string{"format": "pt"})
	})
	if err != nil && !errors.Is(err, fs.ErrExist) { // another process was quicker
		return "", fmt.Errorf("twin: %w", err)
	}
	return dir, nil
}

// folds are the places of a talker and its code predictor.
func folds(m *talker.Model) []calib.Fold {
	return append(calib.Folds(m.Decoder), calib.Folds(m.Predictor.Decoder)...)
}

// outliers is the scale that makes a few channels of f's gain larger.
func outliers(f calib.Fold, factor float64) []float32 {
	r := rng.New(1, "twin "+f.Path)
	scale := make([]float32, f.Readers[0].In)
	for i := range scale {
		scale[i] = 1
	}
	for range max(1, int(float64(len(scale))*outlierShare)) {
		scale[r.IntN(len(scale))] = float32(1 / factor)
	}
	return scale
}

// copySettings copies everything at the top of a checkpoint folder but its weights, and the speech tokenizer.
func copySettings(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil || d.IsDir() || filepath.Dir(name) == "." && strings.HasPrefix(name, "model") {
			return err
		}
		if err := os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		return fsx.CopyFile(filepath.Join(to, name), path)
	})
}
