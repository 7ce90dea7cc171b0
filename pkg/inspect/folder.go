package inspect

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/qakd/qakd/pkg/talker"
)

// listFiles lists a folder and the folders in it, through links, without names that begin with a dot.
func listFiles(dir string) ([]File, error) {
	var out []File
	var walk func(at string) error
	walk = func(at string) error {
		entries, err := os.ReadDir(filepath.Join(dir, at))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				continue
			}
			rel := filepath.Join(at, e.Name())
			info, err := os.Stat(filepath.Join(dir, rel))
			switch {
			case err != nil:
				return err
			case !info.IsDir():
				out = append(out, File{filepath.ToSlash(rel), info.Size()})
			case at == "" && e.IsDir(): // a link to a folder could lead back here
				if err := walk(rel); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return out, walk("")
}

func settings(cfg *talker.Config) []Setting {
	t, p := &cfg.Talker, &cfg.Talker.Predictor
	return []Setting{
		{"hidden_size", t.Hidden, p.Hidden},
		{"intermediate_size", t.Intermediate, p.Intermediate},
		{"num_hidden_layers", t.Layers, p.Layers},
		{"num_attention_heads", t.Heads, p.Heads},
		{"num_key_value_heads", t.KVHeads, p.KVHeads},
		{"head_dim", t.HeadDim, p.HeadDim},
		{"vocab_size", t.Vocab, p.Vocab},
		{"num_code_groups", t.Groups, p.Groups},
		{"rms_norm_eps", t.Eps, p.Eps},
		{"rope_theta", t.Theta, p.Theta},
		{"text_hidden_size", t.TextHidden, nil},
		{"text_vocab_size", t.TextVocab, nil},
		{"codec_language_id (languages)", len(t.LanguageIDs), nil},
		{"spk_id (preset speakers)", len(t.SpeakerIDs), nil},
	}
}

// plain keeps a setting as the file has it: 1e-06, 1000000.
func plain(v any) any {
	f, ok := v.(float64)
	switch {
	case ok && f == math.Trunc(f):
		return strconv.FormatFloat(f, 'f', 0, 64)
	case ok:
		return fmt.Sprint(f)
	}
	return v
}
