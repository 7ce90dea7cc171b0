package stage

import (
	"context"

	"github.com/qakd/qakd/pkg/eval"
	"github.com/qakd/qakd/pkg/packed"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
)

// speedFrames is the length of the utterance that speeds are measured with.
const speedFrames = 60

// speeds are those of the teacher and of the packed student, each with the fastest kernels that it has on this machine.
func (r *Run) speeds(ctx context.Context) ([]eval.Speed, error) {
	us, sampling, err := r.heldOut()
	if err != nil {
		return nil, err
	}
	student, err := r.load(r.path(PackedDir))
	if err != nil {
		return nil, err
	}
	defer student.Close()
	defer packed.Free(student)
	var out []eval.Speed
	for _, row := range []struct {
		name string
		m    *talker.Model
	}{{RowTeacher, r.Teacher}, {RowDistilled, student}} {
		s, err := eval.MeasureSpeed(ctx, row.name, row.m, us[0], sampling, speedFrames)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// BySpeed is how fast the teacher and the packed student speak, one utterance at a time.
func (s *Summary) BySpeed() *report.Table {
	t := &report.Table{Title: "decoding one utterance", Columns: []string{"model", "frames/s", "beside the teacher", "kernels"}}
	for _, r := range s.Speed {
		t.Add(r.Name, r.FramesPerSecond, r.FramesPerSecond/s.Speed[0].FramesPerSecond, r.Decoder)
	}
	return t
}
