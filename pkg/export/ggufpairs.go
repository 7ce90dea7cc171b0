package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/qakd/qakd/pkg/gguf"
	"github.com/qakd/qakd/pkg/text"
)

// fileType is general.file_type: how most numbers of the quantized tensors, or else of all, are stored.
func (w *ggufWriter) fileType() uint32 {
	by := []struct {
		t  gguf.Type
		id uint32
	}{{gguf.Q4_0, 2}, {gguf.Q4_1, 3}, {gguf.Q8_0, 7}, {gguf.BF16, 32}, {gguf.F16, 1}, {gguf.F32, 0}}
	id, most := uint32(0), int64(0)
	for i, k := range by {
		if n := w.kinds[k.t]; n > most {
			id, most = k.id, n
		}
		if i == 2 && most > 0 {
			break // something is quantized
		}
	}
	return id
}

func (w *ggufWriter) general(architecture, kind, name string) []gguf.Pair {
	return []gguf.Pair{
		{Key: "general.architecture", Value: architecture},
		{Key: "general.type", Value: kind},
		{Key: "general.name", Value: name},
		{Key: "general.file_type", Value: w.fileType()},
		{Key: "general.quantization_version", Value: uint32(2)},
	}
}

// headPairs are those of talker.gguf.
func (w *ggufWriter) headPairs() ([]gguf.Pair, error) {
	t := &w.cfg.Talker
	sections := []int32{0, 0, 0, 0}
	if t.Scaling != nil {
		for i, n := range t.Scaling.Sections[:min(4, len(t.Scaling.Sections))] {
			sections[i] = int32(n)
		}
	}
	const a = "qwen3tts."
	pairs := append(w.general("qwen3tts", "model", "Qwen3-TTS talker"), []gguf.Pair{
		{Key: a + "block_count", Value: uint32(t.Layers)},
		{Key: a + "context_length", Value: uint32(t.MaxPositions)},
		{Key: a + "embedding_length", Value: uint32(t.Hidden)},
		{Key: a + "feed_forward_length", Value: uint32(t.Intermediate)},
		{Key: a + "attention.head_count", Value: uint32(t.Heads)},
		{Key: a + "attention.head_count_kv", Value: uint32(t.KVHeads)},
		{Key: a + "attention.key_length", Value: uint32(t.HeadDim)},
		{Key: a + "attention.value_length", Value: uint32(t.HeadDim)},
		{Key: a + "attention.layer_norm_rms_epsilon", Value: float32(t.Eps)},
		{Key: a + "rope.freq_base", Value: float32(t.Theta)},
		{Key: a + "rope.dimension_sections", Value: sections},
		{Key: a + "vocab_size", Value: uint32(t.TextVocab + t.Vocab)},
	}...)
	vocabulary, err := w.vocabulary()
	if err != nil {
		return nil, err
	}
	own, err := w.own()
	return append(append(pairs, vocabulary...), own...), err
}

// companionPairs are those of mmproj.gguf.
func (w *ggufWriter) companionPairs() ([]gguf.Pair, error) {
	t, cp := &w.cfg.Talker, &w.cfg.Talker.Predictor
	pairs := append(w.general("clip", "mmproj", "Qwen3-TTS code predictor"),
		gguf.Pair{Key: "clip.has_audio_encoder", Value: w.speaker()},
		gguf.Pair{Key: "clip.has_gen_audio_encoder", Value: true},
	)
	if w.speaker() {
		mfa := w.model.restTensor("speaker_encoder.mfa.conv.weight")
		stem := w.model.restTensor("speaker_encoder.blocks.0.conv.weight")
		const a = "clip.audio."
		pairs = append(pairs, []gguf.Pair{
			{Key: a + "projector_type", Value: "qwen3tts_spkenc"},
			{Key: a + "projection_dim", Value: uint32(t.Hidden)},
			{Key: a + "num_mel_bins", Value: uint32(stem.Shape[1])},
			{Key: a + "block_count", Value: uint32(3)},
			// There is no transformer in it: these have to be there.
			{Key: a + "embedding_length", Value: uint32(mfa.Shape[0])},
			{Key: a + "feed_forward_length", Value: uint32(mfa.Shape[0])},
			{Key: a + "attention.head_count", Value: uint32(1)},
			{Key: a + "attention.layer_norm_epsilon", Value: float32(1e-5)},
		}...)
	}
	const g = "clip.gen.audio."
	pairs = append(pairs, []gguf.Pair{
		{Key: g + "projector_type", Value: "qwen3tts_gen"},
		{Key: g + "projection_dim", Value: uint32(t.Hidden)},
		{Key: g + "embedding_length", Value: uint32(cp.Hidden)},
		{Key: g + "feed_forward_length", Value: uint32(cp.Intermediate)},
		{Key: g + "block_count", Value: uint32(cp.Layers)},
		{Key: g + "attention.head_count", Value: uint32(cp.Heads)},
		{Key: g + "attention.head_count_kv", Value: uint32(cp.KVHeads)},
		{Key: g + "attention.layer_norm_epsilon", Value: float32(cp.Eps)},
	}...)
	own, err := w.own()
	return append(pairs, own...), err
}

// Kinds of tokens, by llama.cpp's numbers.
const (
	tokenNormal  = 1
	tokenControl = 3
	tokenUser    = 4
	tokenUnused  = 5
)

// vocabulary is the text's vocabulary, padded to the rows of the table, and behind it the codec's.
func (w *ggufWriter) vocabulary() ([]gguf.Pair, error) {
	t := &w.cfg.Talker
	end := uint32(t.TextVocab + int64(t.CodecEos))
	var suppress []int32
	for i := t.TextVocab + w.cfg.Codebook(); i < t.TextVocab+t.Vocab; i++ {
		if uint32(i) != end {
			suppress = append(suppress, int32(i))
		}
	}
	tail := []gguf.Pair{
		{Key: "tokenizer.ggml.eos_token_id", Value: end},
		{Key: "tokenizer.ggml.add_bos_token", Value: false},
		{Key: "tokenizer.ggml.add_eos_token", Value: false},
		{Key: "tokenizer.ggml.suppress_tokens", Value: suppress},
	}
	files, err := text.Read(w.model.dir)
	if errors.Is(err, text.ErrNone) {
		w.result.note("the checkpoint has no text tokenizer, so %s has no vocabulary: it runs on token ids alone", talkerFile)
		return append([]gguf.Pair{{Key: "tokenizer.ggml.model", Value: "none"}}, tail...), nil
	}
	if err != nil {
		return nil, err
	}
	tokens, kinds := make([]string, t.TextVocab), make([]int32, t.TextVocab)
	for i := range tokens {
		tokens[i], kinds[i] = fmt.Sprintf("[PAD%d]", i), tokenUnused
	}
	put := func(id int32, token string, kind int32) error {
		if int64(id) >= t.TextVocab || id < 0 {
			return fmt.Errorf("token %q has id %d, want one below text_vocab_size %d", token, id, t.TextVocab)
		}
		tokens[id], kinds[id] = token, kind
		return nil
	}
	for piece, id := range files.Pieces {
		err = errors.Join(err, put(id, piece, tokenNormal))
	}
	for id, a := range files.Added {
		kind := int32(tokenUser)
		if a.Special {
			kind = tokenControl
		}
		err = errors.Join(err, put(id, a.Content, kind))
	}
	if err != nil {
		return nil, err
	}
	names, err := w.codecTokens()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		tokens, kinds = append(tokens, name), append(kinds, tokenControl)
	}
	merges := make([]string, len(files.Merges))
	for i, m := range files.Merges {
		merges[i] = m.Left + " " + m.Right
	}
	return append([]gguf.Pair{
		{Key: "tokenizer.ggml.model", Value: "gpt2"},
		{Key: "tokenizer.ggml.pre", Value: "qwen2"},
		{Key: "tokenizer.ggml.tokens", Value: tokens},
		{Key: "tokenizer.ggml.token_type", Value: kinds},
		{Key: "tokenizer.ggml.merges", Value: merges},
	}, tail...), nil
}

// codecTokens are the names of the codec's rows. Those with a meaning have the name of the key of talker_config, less _id,
// and of the entry where the key has several: <|codec_bos|>, <|codec_language_english|>, <|spk_vivian|>.
func (w *ggufWriter) codecTokens() ([]string, error) {
	names := make([]string, w.cfg.Talker.Vocab)
	for i := range names {
		names[i] = fmt.Sprintf("<|codec_%d|>", i)
	}
	var top struct {
		Talker map[string]json.RawMessage `json:"talker_config"`
	}
	if err := json.Unmarshal(w.cfg.Raw, &top); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	keys := top.Talker
	put := func(id int, name string) {
		if id >= 0 && id < len(names) {
			names[id] = "<|" + name + "|>"
		}
	}
	for _, key := range sortedKeys(keys) {
		prefix, ok := strings.CutSuffix(key, "_id")
		if !ok {
			continue
		}
		var one int
		var several map[string]int
		switch {
		case json.Unmarshal(keys[key], &one) == nil:
			put(one, prefix)
		case json.Unmarshal(keys[key], &several) == nil:
			for _, entry := range sortedKeys(several) {
				put(several[entry], prefix+"_"+entry)
			}
		}
	}
	return names, nil
}

// notes say what llama.cpp has built in and this checkpoint has otherwise.
func (w *ggufWriter) notes() {
	t := &w.cfg.Talker
	w.result.note("the text projection is folded into the token table, which is rounded to the dtype of the embeddings; %s keeps what it was made from", textFile)
	if !w.cfg.Adapter() {
		w.result.note("talker and code predictor are equally wide, so there is no a.gen.code.proj_in; loaders that insist on one need a newer version")
	}
	var odd []string
	if t.Vocab != 3072 {
		odd = append(odd, fmt.Sprintf("a codec vocabulary of %d instead of 3072", t.Vocab))
	}
	if t.Predictor.Theta != 1e6 {
		odd = append(odd, fmt.Sprintf("a rope_theta of %g instead of 1e6 in the code predictor", t.Predictor.Theta))
	}
	if len(odd) > 0 {
		w.result.note("llama.cpp has the published sizes built in; this model has %s", strings.Join(odd, " and "))
	}
}
