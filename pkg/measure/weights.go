package measure

import (
	"fmt"
	"time"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/packed"
	"github.com/qakd/qakd/pkg/report"
)

// Read is the bytes of weights that a frame reads.
type Read struct {
	Talker    float64 `json:"talker_bytes"`
	Head      float64 `json:"head_bytes"`      // codec_head
	Predictor float64 `json:"predictor_bytes"` // of all its steps
}

// Total of a frame.
func (r Read) Total() float64 { return r.Talker + r.Head + r.Predictor }

// Read counts what a frame reads. Embedding rows, norms and caches are not worth counting.
func (d *Decoder) Read() Read {
	p := d.Model.Predictor
	steps := float64(d.Model.Config.Groups() - 1)
	body := d.bytes(p.Decoder)
	r := Read{Talker: d.bytes(d.Model.Decoder), Head: d.bytes(d.Model.CodecHead), Predictor: steps*body + d.bytes(p) - body}
	if p.Adapter != nil { // once for the first two rows, and for each after those
		r.Predictor += (steps - 1) * d.bytes(p.Adapter)
	}
	return r
}

func (d *Decoder) bytes(m nn.Module) float64 {
	n := 0.0
	for _, s := range nn.Slots(m) {
		n += d.slot(s)
	}
	return n
}

func (d *Decoder) slot(s *nn.Slot) float64 {
	weights := float64(s.In * s.Out)
	switch p := s.P.(type) {
	case *nn.Linear:
		if d.Steppers.Packed > 0 {
			return 1.5 * weights // bf16 in 12 bits
		}
		return weights * float64(tensor.ElementSize(p.W.T.DType()))
	case *packed.Linear:
		return float64(len(p.W.Bytes()))
	}
	return 4 * weights // dequantized by libtorch
}

// Kernels says what computes.
func (d *Decoder) Kernels() string {
	if d.Steppers.Kernels == "" {
		return fmt.Sprintf("libtorch (%v)", d.Steppers.Why)
	}
	return d.Steppers.Kernels
}

// Bandwidth is the best speed of reading memory on so many threads, in bytes a second.
func Bandwidth(threads int) (float64, error) {
	pool, err := native.NewPool(threads, "")
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	data := make([]byte, 512<<20)
	for i := 0; i < len(data); i += 64 {
		data[i] = byte(i)
	}
	best := 0.0
	for range 5 {
		took, err := pool.ReadMemory(data)
		if err != nil {
			return 0, err
		}
		best = max(best, float64(len(data))/took.Seconds())
	}
	return best, nil
}

// Where is a table of where a frame's time went in the last Speech, beside the time of reading its weights at a speed in
// bytes a second. It is nil for libtorch's steppers, which do not tell.
func (d *Decoder) Where(speed float64) *report.Table {
	if d.Steppers.Kernels == "" || d.frames == 0 {
		return nil
	}
	n, read := float64(d.frames), d.Read()
	t := &report.Table{Title: "where a frame's time goes, last round", Columns: []string{"", "ms", "q k v, attention", "o", "gate, up", "down", "heads", "draws", "weights", "at memory speed"}}
	add := func(name string, total time.Duration, s native.Spent, bytes float64) {
		cell := func(d time.Duration) string { return fmt.Sprintf("%.2f", ms(d)/n) }
		t.Add(name, cell(total), cell(s.QKV), cell(s.O), cell(s.GateUp), cell(s.Down), cell(s.Heads), cell(s.Draws),
			fmt.Sprintf("%.0f MB", bytes/1e6), fmt.Sprintf("%.2f ms", 1e3*bytes/speed))
	}
	add("talker rows", d.spent.Steps, d.spent.Talker, read.Talker)
	add("codec_head", d.spent.Logits, native.Spent{}, read.Head)
	add("code predictor", d.spent.Frames, d.spent.Predictor, read.Predictor)
	return t
}
