package stage

import (
	"fmt"

	"github.com/qakd/qakd/pkg/qat"
)

// Convert packs the distilled student and writes <run>/packed, a whole checkpoint folder.
func (r *Run) Convert() error {
	if r.has(PackedDir) {
		r.logf("convert: %s is there", r.path(PackedDir))
		return nil
	}
	if !r.has(DistilledDir) {
		return fmt.Errorf("%s is not there: run the distill stage first", r.path(DistilledDir))
	}
	res, err := r.pack(DistilledDir, r.path(PackedDir))
	if err != nil {
		return err
	}
	for _, part := range res.Missing {
		r.logf("convert: the teacher has no %s, so %s has none", part, r.path(PackedDir))
	}
	return nil
}

// pack converts the student in an entry of the run folder and saves it at to.
func (r *Run) pack(entry, to string) (*qat.SaveResult, error) {
	m, err := r.load(r.path(entry))
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if err := qat.Convert(m); err != nil {
		return nil, err
	}
	return qat.SaveCheckpoint(to, m, qat.SaveOptions{Source: r.source})
}
