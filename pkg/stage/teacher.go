package stage

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// Teacher says how the teacher computes; what is empty is as for everything else.
type Teacher struct {
	DType  string `toml:"dtype"`  // float32 or bfloat16
	Device string `toml:"device"` // auto, cpu, cuda:0
	// Outliers, where not 0, makes the demo teacher's outlier twin the teacher: a few channels of its norms are so many times
	// as large (Twin).
	Outliers float64 `toml:"outliers"`
}

// TeacherType is the dtype of the teacher's parameters and activations.
func (e Experiment) TeacherType() (gotch.DType, error) {
	if e.Teacher.DType == "" {
		return e.TensorType()
	}
	return tensorType("teacher.dtype", e.Teacher.DType)
}

// recall loads the teacher, whole.
func (r *Run) recall() error {
	dtype, err := r.Experiment.TeacherType()
	if err != nil {
		return err
	}
	device, err := tensor.Device(cmp.Or(r.Experiment.Teacher.Device, r.Experiment.Device))
	if err != nil {
		return err
	}
	m, err := loadAs(r.source, dtype, device)
	if err != nil {
		return err
	}
	if r.Teacher != nil {
		r.Teacher.Close()
	}
	r.Teacher, r.dismissed = m, false
	return nil
}

// present loads the teacher again if it was dismissed.
func (r *Run) present() error {
	if !r.dismissed {
		return nil
	}
	return r.recall()
}

// dismiss frees the teacher but for its heads, which a probe of held-out utterances still needs.
func (r *Run) dismiss() {
	m := r.Teacher
	r.dismissed = true
	for _, part := range []nn.Module{m.TextEmbedding, m.TextUp, m.TextDown, m.CodecEmbedding, m.Decoder, m.Predictor.Decoder} {
		nn.Close(part)
	}
	for _, e := range m.Predictor.Embeddings {
		nn.Close(e)
	}
	if m.Predictor.Adapter != nil {
		nn.Close(m.Predictor.Adapter)
	}
	tensor.Trim()
}

// teacherID is a hash of what the teacher computes from: its weights, and config.json, whose rope_theta and rms_norm_eps decide
// the function as they do.
func (r *Run) teacherID() (string, error) {
	if r.identity != "" {
		return r.identity, nil
	}
	head, err := ckpt.HeaderOnly(r.source)
	if err != nil {
		return "", err
	}
	model := sha256.New()
	for _, f := range append([]string{filepath.Join(r.source, "config.json")}, head.Files...) {
		sum, err := fsx.SHA256(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(model, "%s %s\n", sum, filepath.Base(f))
	}
	r.identity = hex.EncodeToString(model.Sum(nil))
	return r.identity, nil
}

// cacheDir is where the teacher's words are kept.
func (r *Run) cacheDir() string { return cmp.Or(r.Experiment.Distill.Cache.Dir, r.path(CacheDir)) }

// listen fills the cache with what the teacher says about every batch of the training on set.
func (r *Run) listen(ctx context.Context, set data.Set) (*distill.Cache, error) {
	id, err := r.teacherID()
	if err != nil {
		return nil, err
	}
	e := r.Experiment
	last := 0
	c, err := distill.NewCache(ctx, r.cacheDir(), r.Teacher, id, e.Distill, e.training().Batches(set), func(n int) {
		if n >= last+1000 {
			last = n
			r.logf("distill: %d utterances are in the teacher cache", n)
		}
	})
	if err == nil {
		r.logf("distill: teacher cache %s: %d utterances, %.1f MiB", r.cacheDir(), c.Utterances(), float64(c.Bytes())/(1<<20))
	}
	return c, err
}
