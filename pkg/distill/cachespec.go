package distill

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// cacheSpec is everything, beside the rows that are read, that decides what an entry of a cache holds.
type cacheSpec struct {
	Format      int     `json:"format"`        // 1
	Teacher     string  `json:"teacher"`       // identity of its weights and configuration
	DType       string  `json:"dtype"`         // that it computed in
	Keep        Keep    `json:"keep"`          //
	Top         int64   `json:"top"`           // classes per row of code 0; of the other codes at most a codebook. 0: exact
	Temperature float64 `json:"temperature"`   // of the top; 1 where exact
	Classes     Classes `json:"code0_classes"` //
	Hidden      int64   `json:"hidden"`        // width of hidden states, 0 for none
	Code0       int64   `json:"classes"`       // of code 0
	Groups      int64   `json:"groups"`        // G
	Codebook    int64   `json:"codebook"`      // classes of the other codes
	CodecEos    int64   `json:"codec_eos"`     //
}

func newCacheSpec(teacher *talker.Config, dtype gotch.DType, identity string, cfg Config) (cacheSpec, error) {
	s := cacheSpec{
		Format: 1, Teacher: identity, DType: nn.DTypeName(dtype), Keep: cfg.Cache.Keep, Temperature: 1, Classes: cfg.Code0Classes,
		Code0: teacher.Codebook() + 1, Groups: int64(teacher.Groups()), Codebook: teacher.Codebook(), CodecEos: int64(teacher.Talker.CodecEos),
	}
	if cfg.Code0Classes == Full {
		s.Code0 = teacher.Talker.Vocab
	}
	if cfg.Cache.Hidden {
		s.Hidden = teacher.Talker.Hidden
	}
	if cfg.Cache.Keep == KeepTop {
		s.Top, s.Temperature = int64(cfg.Cache.Top), cfg.Temperature
	}
	if most := max(s.Code0, s.Codebook); most > math.MaxInt16 {
		return s, fmt.Errorf("distill: cache: %d classes, want at most %d", most, math.MaxInt16)
	}
	return s, nil
}

// field is one tensor of a part: a row of it for each row that predicts, or for each frame.
type field struct {
	name  string
	dtype string
	shape []int64 // of a row
	frame bool
}

func (f field) bytes() int64 {
	dtype, _ := nn.DTypeOf(f.dtype) // one of ours
	n := tensor.ElementSize(dtype)
	for _, d := range f.shape {
		n *= d
	}
	return n
}

// fields of a part, in the order in which they are written.
func (s cacheSpec) fields() (out []field) {
	G := s.Groups - 1
	if s.Keep == KeepExact {
		out = []field{{"code0.logits", s.DType, []int64{s.Code0}, false}, {"codes.logits", s.DType, []int64{G, s.Codebook}, true}}
	} else {
		k0, k := min(s.Top, s.Code0), min(s.Top, s.Codebook)
		out = []field{
			{"code0.ids", "I16", []int64{k0}, false}, {"code0.logp", "F16", []int64{k0}, false}, {"code0.tail", "F32", nil, false},
			{"codes.ids", "I16", []int64{G, k}, true}, {"codes.logp", "F16", []int64{G, k}, true}, {"codes.tail", "F32", []int64{G}, true},
		}
	}
	out = append(out, field{"end", "F32", nil, false})
	if s.Hidden > 0 {
		out = append(out, field{"hidden", "BF16", []int64{s.Hidden}, false})
	}
	return out
}

// bytes of utterances with frames in all.
func (s cacheSpec) bytes(utterances, frames int64) (n int64) {
	for _, f := range s.fields() {
		rows := frames
		if !f.frame {
			rows += utterances
		}
		n += rows * f.bytes()
	}
	return n
}

// CacheBytes is the size on disk of a cache of a teacher that computes in dtype, for different laid-out utterances with
// frames in all.
func CacheBytes(teacher *talker.Config, dtype gotch.DType, cfg Config, utterances, frames int64) (int64, error) {
	s, err := newCacheSpec(teacher, dtype, "", cfg)
	return s.bytes(utterances, frames), err
}

func (s cacheSpec) json() (string, error) {
	b, err := json.Marshal(s)
	return string(b), err
}

// CacheKey is the SHA-256 of the rows that the talker reads: what a teacher says depends on nothing else.
func CacheKey(s talker.Sequence) string {
	h := sha256.New()
	put := func(v any) { _ = binary.Write(h, binary.LittleEndian, v) } // a hash takes everything
	for _, r := range s.Rows {
		put([]int32{r.Text, r.Codec, r.Label, int32(len(r.Codes))})
		put(r.Codes)
		put(r.Speaker)
	}
	put(s.Speaker)
	return hex.EncodeToString(h.Sum(nil))
}
