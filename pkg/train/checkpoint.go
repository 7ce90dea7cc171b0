package train

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
)

// Names in a checkpoint folder.
const (
	ModelFile = "model.safetensors"
	OptimFile = "optim.safetensors"
	StateFile = "state.json"
	BestDir   = "best" // the checkpoint with the best held-out value, without optimizer state
)

// Best is the best held-out evaluation so far; lower is better.
type Best struct {
	Step  int     `json:"step"`
	Value float64 `json:"value"`
}

// State is state.json: where the training stands after Step updates.
type State struct {
	Format   int               `json:"format"` // 1
	Step     int               `json:"step"`
	Position int               `json:"position"` // index of the next micro-batch of the data
	Frames   int64             `json:"frames"`   // trained on so far
	Seed     int64             `json:"seed"`     // with step: all randomness there is
	Best     *Best             `json:"best,omitempty"`
	Hash     string            `json:"settings_sha256"`
	Settings Settings          `json:"settings"`
	Files    map[string]string `json:"files"` // name to SHA-256
}

// save writes a checkpoint folder at path, whole or not at all, in place of an older one. opt nil leaves its state out.
func save(path string, m nn.Module, opt *optim.AdamW, st State) error {
	tensors, err := nn.Tensors(m, "")
	if err != nil {
		return err
	}
	meta := map[string]string{"step": strconv.Itoa(st.Step), "settings_sha256": st.Hash}
	st.Files = map[string]string{}
	err = fsx.ReplaceDir(path, func(dir string) error {
		if err := write(dir, ModelFile, tensors, meta, st.Files); err != nil {
			return err
		}
		if opt != nil {
			if err := write(dir, OptimFile, opt.Tensors(), opt.Metadata(), st.Files); err != nil {
				return err
			}
		}
		text, err := json.MarshalIndent(st, "", "  ")
		if err != nil {
			return fmt.Errorf("encode %s: %w", StateFile, err)
		}
		return fsx.WriteBytes(filepath.Join(dir, StateFile), append(text, '\n'))
	})
	if err != nil {
		return fmt.Errorf("train: checkpoint %s: %w", path, err)
	}
	return nil
}

func write(dir, name string, tensors []ckpt.Tensor, meta, files map[string]string) (err error) {
	path := filepath.Join(dir, name)
	if err := ckpt.Write(path, tensors, meta); err != nil {
		return err
	}
	files[name], err = fsx.SHA256(path)
	return err
}

// Load reads the parameters of a checkpoint folder, e.g. best/, into m, whose parameters keep their dtype and device.
func Load(dir string, m nn.Module) (State, error) {
	st, err := readState(dir)
	if err != nil {
		return State{}, err
	}
	src, err := ckpt.Open(filepath.Join(dir, ModelFile))
	if err != nil {
		return State{}, err
	}
	defer src.Close()
	return st, restore(m, src)
}

// readState reads and verifies a checkpoint's manifest: a folder without one, or whose files differ from it, is an error.
func readState(dir string) (State, error) {
	var st State
	path := filepath.Join(dir, StateFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return st, fmt.Errorf("train: checkpoint: %w", err)
	}
	if err := json.Unmarshal(text, &st); err != nil {
		return st, fmt.Errorf("train: %s: %w", path, err)
	}
	if st.Format != 1 {
		return st, fmt.Errorf("train: %s: format is %d, want 1", path, st.Format)
	}
	for name, want := range st.Files {
		have, err := fsx.SHA256(filepath.Join(dir, name))
		if err != nil {
			return st, fmt.Errorf("train: checkpoint: %w", err)
		}
		if have != want {
			return st, fmt.Errorf("train: %s: SHA-256 is %s, %s has %s", filepath.Join(dir, name), have, StateFile, want)
		}
	}
	return st, nil
}

// checkpoints lists the step folders of dir, newest first.
func checkpoints(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("train: %w", err)
	}
	type folder struct {
		step int
		path string
	}
	var found []folder
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), "step-")
		step, err := strconv.Atoi(digits)
		if ok && err == nil && e.IsDir() {
			found = append(found, folder{step, filepath.Join(dir, e.Name())})
		}
	}
	slices.SortFunc(found, func(a, b folder) int { return b.step - a.step })
	paths := make([]string, len(found))
	for i, f := range found {
		paths[i] = f.path
	}
	return paths, nil
}

// prune removes all but the newest keep checkpoints of dir.
func prune(dir string, keep int) error {
	paths, err := checkpoints(dir)
	if err != nil {
		return err
	}
	for _, p := range paths[min(keep, len(paths)):] {
		if err := os.RemoveAll(p); err != nil {
			return fmt.Errorf("train: remove old checkpoint: %w", err)
		}
	}
	return nil
}

// stepDir is the folder of the checkpoint after step updates.
func stepDir(dir string, step int) string { return filepath.Join(dir, fmt.Sprintf("step-%06d", step)) }
