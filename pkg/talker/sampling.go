package talker

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/qakd/qakd/pkg/ckpt"
)

// Sampling decides how codes are drawn. The keys are those of generation_config.json.
type Sampling struct {
	DoSample          bool    `toml:"do_sample" json:"do_sample"`                   // false takes the best code
	Temperature       float64 `toml:"temperature" json:"temperature"`               // divides the logits where they are sampled from; at least 0.001
	TopK              int     `toml:"top_k" json:"top_k"`                           // draws from the best k; 0 for all
	TopP              float64 `toml:"top_p" json:"top_p"`                           // and from the least set of that mass, in (0, 1]
	RepetitionPenalty float64 `toml:"repetition_penalty" json:"repetition_penalty"` // of codes 0 drawn before; 1 for none

	SubDoSample    bool    `toml:"subtalker_dosample" json:"subtalker_dosample"` // the same for the code predictor
	SubTemperature float64 `toml:"subtalker_temperature" json:"subtalker_temperature"`
	SubTopK        int     `toml:"subtalker_top_k" json:"subtalker_top_k"`
	SubTopP        float64 `toml:"subtalker_top_p" json:"subtalker_top_p"`

	MinNewTokens int   `toml:"min_new_tokens" json:"min_new_tokens"` // draws of code 0 before the end can be drawn; n make at least n frames
	MaxNewTokens int   `toml:"max_new_tokens" json:"max_new_tokens"` // draws of code 0; n without an end make n-1 frames
	Seed         int64 `toml:"seed" json:"-"`
}

// Exactly is s for speech of so many frames, whatever the model draws: the draw behind the last frame makes none.
func (s Sampling) Exactly(frames int) Sampling {
	s.MinNewTokens, s.MaxNewTokens = frames, frames+1
	return s
}

// DefaultSampling is what the published checkpoints ask for.
func DefaultSampling() Sampling {
	return Sampling{
		DoSample: true, Temperature: 0.9, TopK: 50, TopP: 1, RepetitionPenalty: 1.05,
		SubDoSample: true, SubTemperature: 0.9, SubTopK: 50, SubTopP: 1, MinNewTokens: 2, MaxNewTokens: 8192,
	}
}

// ReadSampling reads dir/generation_config.json; keys that it lacks, or an absent file, leave the defaults.
func ReadSampling(dir string) (Sampling, error) {
	s := DefaultSampling()
	path := filepath.Join(dir, "generation_config.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("talker: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("talker: %s: %w", path, err)
	}
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("talker: %s: %w", path, err)
	}
	return s, nil
}

// Validate lists every value out of range.
func (s Sampling) Validate() error {
	var p ckpt.Violations
	const cold = 1e-3 // below, scores overflow
	p.Want(!s.DoSample || s.Temperature >= cold, "temperature", s.Temperature, "at least %g; do_sample = false takes the best", cold)
	p.Want(!s.SubDoSample || s.SubTemperature >= cold, "subtalker_temperature", s.SubTemperature, "at least %g; subtalker_dosample = false takes the best", cold)
	p.Want(s.TopK >= 0, "top_k", s.TopK, "a number >= 0")
	p.Want(s.SubTopK >= 0, "subtalker_top_k", s.SubTopK, "a number >= 0")
	p.Want(s.TopP > 0 && s.TopP <= 1, "top_p", s.TopP, "a number in (0, 1]")
	p.Want(s.SubTopP > 0 && s.SubTopP <= 1, "subtalker_top_p", s.SubTopP, "a number in (0, 1]")
	p.Want(s.RepetitionPenalty > 0, "repetition_penalty", s.RepetitionPenalty, "a number > 0")
	p.Want(s.MinNewTokens >= 1, "min_new_tokens", s.MinNewTokens, "at least 1: speech has a frame")
	p.Want(s.MaxNewTokens >= 2, "max_new_tokens", s.MaxNewTokens, "at least 2, which make one frame")
	p.Want(s.MaxNewTokens >= s.MinNewTokens, "max_new_tokens", s.MaxNewTokens, "at least min_new_tokens %d", s.MinNewTokens)
	return p.Err()
}

var never = float32(math.Inf(-1))

// Penalize makes codes that were drawn before less likely: each distinct one once (Keskar et al. 2019).
func Penalize(scores []float32, drawn []int32, penalty float64) {
	r := float32(penalty)
	done := make([]bool, len(scores))
	for _, t := range drawn {
		switch {
		case done[t]:
		case scores[t] < 0:
			scores[t] *= r
		default:
			scores[t] /= r
		}
		done[t] = true
	}
}

// Suppress leaves the codes, and the end token if speech may end here.
func (c *Config) Suppress(scores []float32, mayEnd bool) {
	eos := c.Talker.CodecEos
	end := scores[eos]
	for i := len(scores) - suppressed; i < len(scores); i++ {
		scores[i] = never
	}
	if scores[eos] = end; !mayEnd {
		scores[eos] = never
	}
}

// Warp divides by the temperature and removes what is not among the best topK (0: all) or not in the least set of mass
// topP. The best score always stays. Removed scores are -Inf.
func Warp(scores []float32, temperature float64, topK int, topP float64) {
	for i, v := range scores {
		if v != never {
			scores[i] = v / float32(temperature)
		}
	}
	if topK > 0 && topK < len(scores) {
		least := kth(scores, topK)
		for i, v := range scores {
			if v < least { // equals of the k-th stay
				scores[i] = never
			}
		}
	}
	if topP < 1 {
		nucleus(scores, topP)
	}
}

// kth is the k-th largest score; k is few among many in practice, so a short sorted list is quicker than sorting all.
func kth(scores []float32, k int) float32 {
	top := make([]float32, 0, k+1) // ascending
	for _, v := range scores {
		if len(top) == k && v <= top[0] {
			continue
		}
		at, _ := slices.BinarySearch(top, v)
		if top = slices.Insert(top, at, v); len(top) > k {
			top = slices.Delete(top, 0, 1)
		}
	}
	return top[0]
}

// nucleus drops the least likely while their mass is at most 1-p (Holtzman et al. 2020).
func nucleus(scores []float32, p float64) {
	var live []int // ascending by score
	for i, v := range scores {
		if v != never {
			live = append(live, i)
		}
	}
	slices.SortStableFunc(live, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	probs := Softmax(scores)
	mass := 0.0
	for _, i := range live[:len(live)-1] {
		if mass += probs[i]; mass > 1-p {
			return
		}
		scores[i] = never
	}
}

// Softmax of scores, of which at least one is finite.
func Softmax(scores []float32) []float64 {
	top := slices.Max(scores)
	probs := make([]float64, len(scores))
	sum := 0.0
	for i, v := range scores {
		if v != never {
			probs[i] = math.Exp(float64(v - top))
			sum += probs[i]
		}
	}
	for i := range probs {
		probs[i] /= sum
	}
	return probs
}

// choose is the code at the point u, 0 ≤ u < 1, of the scores' distribution.
func choose(scores []float32, u float64) int {
	last := 0
	for i, p := range Softmax(scores) {
		if p == 0 {
			continue
		}
		if u < p {
			return i
		}
		u -= p
		last = i
	}
	return last // rounding left u a little over the sum
}

func best(scores []float32) int {
	at := 0
	for i, v := range scores {
		if v > scores[at] {
			at = i
		}
	}
	return at
}
