package blockwise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"time"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/layerwise"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch/ts"
)

// Row is what training did to one block: its loss over all data, before and after.
type Row struct {
	Block  string  `json:"block"`
	Before float64 `json:"before"`
	After  float64 `json:"after"`
	Epoch  int     `json:"epoch"` // that was the best, and is kept; 0: the block is as it was
}

// blockFile is a trained block in the student's folder, by layerwise's Path; its metadata have the row.
const blockFile = "block.safetensors"

const rowKey = "blockwise"

// run is the training of one student.
type run struct {
	cfg              Config
	teacher, student *layerwise.Walk
	logf             func(format string, args ...any)
}

// Train trains the blocks of student, in place, to do what those of teacher do on batches; the residual streams of both are
// turned alike. dir has what is done already,
// and is the caller's to remove afterwards; identity says what decides the numbers besides (the hashes of both models, of the
// data, and the configuration): a folder of another identity is begun anew. When ctx ends, its error comes back after the
// update, and the block is trained again by the next call. A loss that is not finite is an error that names the block.
func Train(ctx context.Context, teacher, student *talker.Model, batches []*talker.Batch, dir, identity string, cfg Config,
	logf func(format string, args ...any)) ([]Row, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	decoders := nn.Decoders(student)
	for i, d := range nn.Decoders(teacher) {
		if s := decoders[i]; s.Rotation != d.Rotation {
			return nil, fmt.Errorf("blockwise: the residual stream of %s is turned by %v in the student and by %v in the teacher, whose blocks it is to be like",
				d.Path, s.Rotation, d.Rotation)
		}
	}
	r := &run{cfg: cfg, logf: logf}
	var err error
	if r.teacher, err = layerwise.Open(filepath.Join(dir, "teacher"), identity, teacher, batches); err != nil {
		return nil, err
	}
	if r.student, err = layerwise.Open(filepath.Join(dir, "student"), identity, student, batches); err != nil {
		return nil, err
	}
	var rows []Row
	for i, part := range r.student.Parts {
		if part.Block == nil {
			continue
		}
		row, err := r.block(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("blockwise: %s: %w", part.Path, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// block trains the block of part i, or loads it where it is done.
func (r *run) block(ctx context.Context, i int) (row Row, err error) {
	part, path := &r.student.Parts[i], r.student.Path(i, blockFile)
	if row, err = r.restore(part.Block, path); !errors.Is(err, fs.ErrNotExist) {
		return row, err
	}
	began := time.Now()
	in, err := r.student.Inputs(ctx, i)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	targets, err := r.teacher.Inputs(ctx, i+1)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, targets.Close()) }()
	t := &trainer{run: r, part: part, in: in, targets: targets}
	row.Block = part.Path
	if row.Before, err = t.measure(ctx); err != nil {
		return row, err
	}
	if row.Epoch, row.After, err = t.train(ctx, i, row.Before); err != nil {
		return row, err
	}
	r.logf("blockwise: %s: loss %.4g, was %.4g; epoch %d of %d is kept, %.1f s", row.Block, row.After, row.Before, row.Epoch, r.cfg.Epochs, time.Since(began).Seconds())
	text, err := json.Marshal(row)
	if err != nil {
		return row, err
	}
	return row, nn.Save(path, part.Block, "", map[string]string{rowKey: string(text)})
}

// restore loads a block that is done.
func (r *run) restore(b *nn.Block, path string) (row Row, err error) {
	src, err := ckpt.Open(path)
	if err != nil {
		return row, err
	}
	defer src.Close()
	if err := json.Unmarshal([]byte(src.Metadata()[rowKey]), &row); err != nil {
		return row, fmt.Errorf("%s: %w", path, err)
	}
	m := r.student.Model
	return row, nn.Load(b, src, nn.LoadOptions{DType: m.DType, Device: m.Device})
}

// trainer has the data of one block.
type trainer struct {
	*run
	part        *talker.Part
	in, targets *layerwise.Tensors
}

// batch computes the loss of batch k.
func (t *trainer) batch(c *nn.Context, k int) (*ts.Tensor, error) {
	x, err := t.in.At(k)
	if err != nil {
		return nil, err
	}
	y, err := t.targets.At(k)
	if err != nil {
		return nil, err
	}
	device, b := t.student.Model.Device, t.student.Batches[k]
	x, y = c.ToDevice(c.Own(x), device), c.ToDevice(c.Own(y), device)
	return loss(c, t.part, b, t.part.Forward(c, b, x), y), nil
}

// measure is the mean loss over all batches, each counted by its rows.
func (t *trainer) measure(ctx context.Context) (float64, error) {
	var sum, rows float64
	for k, b := range t.student.Batches {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n := float64(t.part.Rows(b))
		if t.part.Padded {
			n = float64(b.Tokens())
		}
		err := nn.Run(func(c *nn.Context) (err error) {
			nn.NoGrad(func() {
				var l *ts.Tensor
				var v float64
				if l, err = t.batch(c, k); err == nil {
					v, err = tensor.Scalar(l)
				}
				sum, rows = sum+n*v, rows+n
			})
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if v := sum / rows; !math.IsNaN(v) && !math.IsInf(v, 0) {
		return v, nil
	}
	return 0, fmt.Errorf("loss %v, want a number (lower optim.lr)", sum/rows)
}

// train makes the updates of all epochs and keeps the best of the block's states, the first among them. The order of the
// batches is a function of the seed, the block and the epoch.
func (t *trainer) train(ctx context.Context, i int, before float64) (epoch int, least float64, err error) {
	params, n := nn.Params(t.part.Block), len(t.student.Batches)
	best, least := &state{}, before
	if err := best.take(params); err != nil {
		return 0, 0, err
	}
	defer best.drop()
	o, err := optim.New(optim.Groups(params, t.cfg.Optim), t.cfg.Optim)
	if err != nil {
		return 0, 0, err
	}
	defer o.Close()
	defer func() {
		for _, p := range params {
			err = errors.Join(err, tensor.RequireGrad(p.T, false))
		}
	}()
	for e := range t.cfg.Epochs {
		for j, k := range rng.New(t.cfg.Optim.Seed, fmt.Sprintf("blockwise %d %d", i, e)).Perm(n) {
			if err := ctx.Err(); err != nil {
				return 0, 0, err
			}
			if err := t.update(o, k, t.cfg.Optim.Factor(e*n+j, t.cfg.Epochs*n)); err != nil {
				return 0, 0, fmt.Errorf("update %d: %w", e*n+j+1, err)
			}
		}
		loss, err := t.measure(ctx)
		if err != nil {
			return 0, 0, fmt.Errorf("epoch %d: %w", e+1, err)
		}
		if loss < least {
			epoch, least = e+1, loss
			if err := best.take(params); err != nil {
				return 0, 0, err
			}
		}
	}
	best.give(params)
	return epoch, least, nil
}

func (t *trainer) update(o *optim.AdamW, k int, factor float64) error {
	err := nn.Run(func(c *nn.Context) error {
		l, err := t.batch(c, k)
		if err != nil {
			return err
		}
		return tensor.Backward(l)
	})
	if err != nil {
		return err
	}
	_, err = o.Step(factor)
	return err
}
