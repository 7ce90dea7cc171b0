package talker

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/qakd/qakd/pkg/ckpt"
)

// A pruned checkpoint has rows of the text embedding for some ids only; text_vocab_kept says how many, and the tensor
// KeptIDs which. Ids are those of the whole vocabulary everywhere but in the table itself.

// TextTable is the path of the text embedding.
const TextTable = "talker.model.text_embedding"

// KeptIDs is the name of the tensor with the ids of a pruned text embedding, I32 [text_vocab_kept], ascending.
const KeptIDs = TextTable + ".kept_ids"

// Kept are the text ids that a pruned checkpoint has embeddings for, in ascending order; nil if it has all. The list is
// the configuration's own.
func (c *Config) Kept() []int32 { return c.kept }

func (c *Config) keeps(id int32) bool {
	if c.kept == nil {
		return true
	}
	_, ok := slices.BinarySearch(c.kept, id)
	return ok
}

// CheckKept tells whether ids will do as those of a pruned text embedding: they ascend, and those that prompts are made of
// are among them.
func (c *Config) CheckKept(ids []int32) error {
	last := int32(-1)
	for i, id := range ids {
		if id <= last || int64(id) >= c.Talker.TextVocab {
			return fmt.Errorf("kept text id %d is %d, want one above %d and below %d", i, id, last, c.Talker.TextVocab)
		}
		last = id
	}
	for _, id := range append(c.Role(), c.ImEnd, c.PadText, c.BosText, c.EosText) {
		if _, ok := slices.BinarySearch(ids, id); !ok {
			return fmt.Errorf("text id %d is not kept, which prompts are made of", id)
		}
	}
	return nil
}

// readKept reads the ids of a pruned checkpoint.
func readKept(dir string, cfg *Config) ([]int32, error) {
	t := &cfg.Talker
	r, err := ckpt.Open(dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	info, data, err := prefixed(r).Bytes(KeptIDs)
	if err != nil {
		return nil, fmt.Errorf("text_vocab_kept is %d: %w", t.TextKept, err)
	}
	if info.DType != "I32" || info.Elements() != t.TextKept {
		return nil, fmt.Errorf("tensor %v, want I32 [%d] as text_vocab_kept says", info, t.TextKept)
	}
	ids := make([]int32, t.TextKept)
	for i := range ids {
		ids[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return ids, cfg.CheckKept(ids)
}
