package talker

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
)

// A talker may come without the model around it: taken out of it and saved alone, its configuration is what the whole
// model has as talker_config, and its tensors lack the prefix "talker.".

// published ids of the text vocabulary, which every published checkpoint shares; a talker that was saved alone lacks them.
var publishedIDs = map[string]int32{
	"im_start_token_id": 151644, "im_end_token_id": 151645, "assistant_token_id": 77091,
	"tts_pad_token_id": 151671, "tts_bos_token_id": 151672, "tts_eos_token_id": 151673,
}

// whole is the text of a whole model's configuration: raw itself, or a frame around the configuration of a talker that
// was saved alone. The frame has the published text ids, which must fit the vocabulary, and calls a talker with preset
// speakers "custom_voice" and any other "base".
func whole(raw []byte) ([]byte, error) {
	var kind struct {
		Model    string           `json:"model_type"`
		Speakers map[string]int32 `json:"spk_id"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, explain(err)
	}
	switch kind.Model {
	case "qwen3_tts_talker":
	case "qwen3_tts_tokenizer_12hz":
		return nil, fmt.Errorf(`key "model_type": value %s: the speech tokenizer's configuration, want the model's folder `+
			`(the tokenizer lies in its speech_tokenizer)`, kind.Model)
	case "", "qwen3_tts":
		return raw, nil
	default:
		return nil, fmt.Errorf(`key "model_type": value %s, want "qwen3_tts"`, kind.Model)
	}
	frame := map[string]any{"model_type": "qwen3_tts", "tts_model_type": "base", "tts_model_size": "", "talker_config": json.RawMessage(raw)}
	if len(kind.Speakers) > 0 {
		frame["tts_model_type"] = "custom_voice"
	}
	for key, id := range publishedIDs {
		frame[key] = id
	}
	return json.Marshal(frame)
}

// prefixed is src with the prefix that the names of a talker saved alone lack.
func prefixed(src tensors) tensors {
	bare := false
	for _, info := range src.Infos() {
		switch {
		case strings.HasPrefix(info.Name, prefix):
			return src
		case info.Name == "codec_head.weight":
			bare = true
		}
	}
	if bare {
		return renamed{src}
	}
	return src
}

const prefix = "talker."

// tensors of a checkpoint, to be read, copied or mapped.
type tensors interface {
	ckpt.Copier
	ckpt.Placer
}

// renamed puts the prefix before every name of a source.
type renamed struct{ tensors }

func (r renamed) Infos() []ckpt.Info {
	infos := r.tensors.Infos()
	for i := range infos {
		infos[i].Name = prefix + infos[i].Name
	}
	return infos
}

func (r renamed) Bytes(name string) (ckpt.Info, []byte, error) {
	info, data, err := r.tensors.Bytes(strings.TrimPrefix(name, prefix))
	info.Name = name
	return info, data, err
}

func (r renamed) CopyAt(dst []byte, name string, off int64) error {
	return r.tensors.CopyAt(dst, strings.TrimPrefix(name, prefix), off)
}

func (r renamed) Place(name string) (ckpt.Place, error) {
	return r.tensors.Place(strings.TrimPrefix(name, prefix))
}
