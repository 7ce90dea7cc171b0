package finetune

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
)

// Voice is a speaker that a checkpoint learns to know.
type Voice struct {
	Name   string    // lower case
	Slot   int       // row of the codec embedding, and the speaker's id
	Vector []float32 // [H]
}

// check wants a name and a row that cfg has free.
func (v Voice) check(cfg *talker.Config) error {
	t := &cfg.Talker
	if _, taken := t.SpeakerIDs[v.Name]; taken {
		return fmt.Errorf("finetune: speaker %q is in spk_id of %s already, want another name", v.Name, cfg.Path)
	}
	if int64(v.Slot) < cfg.Codebook() || int64(v.Slot) >= t.Vocab {
		return fmt.Errorf("finetune: slot is %d, want a free row of the codec embedding beyond the codes, %d … %d",
			v.Slot, cfg.Codebook(), t.Vocab-1)
	}
	used := map[string]int32{"codec_pad_id": t.CodecPad, "codec_bos_id": t.CodecBos, "codec_eos_token_id": t.CodecEos,
		"codec_think_id": t.Think, "codec_nothink_id": t.NoThink, "codec_think_bos_id": t.ThinkBos, "codec_think_eos_id": t.ThinkEos}
	for name, id := range t.LanguageIDs {
		used["codec_language_id."+name] = id
	}
	for name, id := range t.SpeakerIDs {
		used["spk_id."+name] = id
	}
	for key, id := range used {
		if int(id) == v.Slot {
			return fmt.Errorf("finetune: slot is %d, which is %s, want a free row of the codec embedding", v.Slot, key)
		}
	}
	if n := int64(len(v.Vector)); n != t.Hidden {
		return fmt.Errorf("finetune: the speaker's vector has %d numbers, want %d, the talker's width", n, t.Hidden)
	}
	return nil
}

// Save writes what fine-tuning leaves of the base checkpoint source: m's parameters in the source's dtypes, the speaker
// in its row, and everything else that the source holds but the speaker encoder. An older folder at dir is replaced; on an
// error it is untouched. m itself is not changed.
func Save(dir string, m *talker.Model, source string, v Voice) error {
	config, tensors, err := contents(m, source, v)
	if err != nil {
		return err
	}
	err = fsx.ReplaceDir(dir, func(tmp string) error {
		if _, err := fsx.CopyTree(tmp, source, rewritten); err != nil {
			return err
		}
		if err := ckpt.Write(filepath.Join(tmp, "model.safetensors"), tensors, map[string]string{"format": "pt"}); err != nil {
			return err
		}
		return fsx.WriteBytes(filepath.Join(tmp, "config.json"), config)
	})
	if err != nil {
		return fmt.Errorf("finetune: save %s: %w", dir, err)
	}
	return nil
}

// contents is what a checkpoint has anew: the text of its config.json and its tensors. An error here is one that no
// training can mend.
func contents(m *talker.Model, source string, v Voice) ([]byte, []ckpt.Tensor, error) {
	if err := v.check(m.Config); err != nil {
		return nil, nil, err
	}
	path := filepath.Join(source, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("finetune: %w", err)
	}
	config, err := customVoice(raw, v)
	if err != nil {
		return nil, nil, fmt.Errorf("finetune: %s: %w", path, err)
	}
	src, err := ckpt.HeaderOnly(source)
	if err != nil {
		return nil, nil, err
	}
	tensors, err := weights(m, src, v)
	return config, tensors, err
}

// rewritten tells which files of the source are written anew.
func rewritten(rel string, _ bool) bool {
	top := !strings.Contains(rel, "/")
	return top && (rel == "config.json" || strings.HasSuffix(rel, ".safetensors") || strings.HasSuffix(rel, ".safetensors.index.json"))
}

// weights are m's parameters in the dtypes that the source has them in.
func weights(m *talker.Model, src *ckpt.Header, v Voice) ([]ckpt.Tensor, error) {
	had := map[string]ckpt.Info{}
	for _, info := range src.Infos {
		had[info.Name] = info
	}
	var out []ckpt.Tensor
	for _, p := range nn.Params(m) {
		info, ok := had[p.Name]
		if !ok || !slices.Equal(info.Shape, p.Shape) {
			return nil, fmt.Errorf("finetune: %s has no tensor %q of shape %v, want the checkpoint that the model was loaded from",
				src.Path, p.Name, p.Shape)
		}
		t, err := nn.Stored(p, info.DType)
		if err == nil && p == m.CodecEmbedding.W {
			err = v.seat(&t, p)
		}
		if err != nil {
			return nil, fmt.Errorf("finetune: %w", err)
		}
		out = append(out, t)
	}
	return out, nil
}

// seat puts the vector into its row of the codec embedding as it will be stored.
func (v Voice) seat(t *ckpt.Tensor, p *nn.Param) error {
	dtype, err := nn.DTypeOf(t.DType)
	if err != nil {
		return err
	}
	t.Stream = nil
	return tensor.Run(func(s *tensor.Scope) error {
		if t.Data, err = tensor.Bytes(s.To(s.Detach(p.T), dtype)); err != nil {
			return err
		}
		row, err := tensor.Bytes(s.To(s.FromFloats(v.Vector, int64(len(v.Vector))), dtype))
		if err != nil {
			return err
		}
		copy(t.Data[v.Slot*len(row):], row)
		return nil
	})
}

// customVoice is a base checkpoint's config.json, turned into that of a checkpoint with the speaker preset.
func customVoice(raw []byte, v Voice) ([]byte, error) {
	var top, talker map[string]json.RawMessage
	if err := json.Unmarshal(raw, &top); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(top["talker_config"], &talker); err != nil {
		return nil, fmt.Errorf(`key "talker_config": %w`, err)
	}
	for key, value := range map[string]any{"spk_id": v.Slot, "spk_is_dialect": false} {
		names := map[string]any{}
		if have := talker[key]; have != nil {
			if err := json.Unmarshal(have, &names); err != nil {
				return nil, fmt.Errorf("key %q: %w", "talker_config."+key, err)
			}
		}
		if names == nil { // it was null
			names = map[string]any{}
		}
		names[v.Name] = value
		text, err := json.Marshal(names)
		if err != nil {
			return nil, err
		}
		talker[key] = text
	}
	var err error
	if top["talker_config"], err = json.Marshal(talker); err != nil {
		return nil, err
	}
	top["tts_model_type"] = json.RawMessage(`"custom_voice"`)
	return json.MarshalIndent(top, "", "  ")
}
