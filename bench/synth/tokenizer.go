package main

import (
	"fmt"
	"strings"
)

// Ids of the published vocabulary that a prompt is made of.
const (
	imStart, imEnd, assistant, user = 151644, 151645, 77091, 872
	ttsPad, ttsBos, ttsEos          = 151671, 151672, 151673
)

// addedTokens have the ids from 151643 on.
const addedTokens = `<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> ` +
	`<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|> <tool_call> ` +
	`</tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <tool_response> ` +
	`</tool_response> <think> </think> <|audio_start|> <|audio_end|> <tts_pad> <tts_text_bos> <tts_text_eod> ` +
	`<tts_text_bos_single> <|audio_pad|>`

func tokenizerConfig() object {
	added := object{}
	for i, t := range strings.Fields(addedTokens) {
		added[fmt.Sprint(imStart-1+i)] = object{"content": t, "lstrip": false, "normalized": false, "rstrip": false,
			"single_word": false, "special": strings.Contains(t, "_pad") || strings.Contains(t, "<|im_")}
	}
	return object{"tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": false, "added_tokens_decoder": added,
		"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": nil, "model_max_length": 131072}
}

// vocabulary stands in for the published one: a token for each byte, and the words of the chat template with the ids
// that the model knows them by. Every text has tokens, though more of them than the real vocabulary gives it.
func vocabulary() (vocab map[string]int, merges string) {
	vocab = map[string]int{}
	for i, r := range byteRunes() {
		vocab[string(r)] = i
	}
	lines, known, next := []string{}, map[string]bool{}, 20000
	for _, word := range []struct {
		text string
		id   int
	}{{"assistant", assistant}, {"user", user}} {
		for n := 1; n < len(word.text); n++ {
			if m := word.text[:n] + " " + word.text[n:n+1]; !known[m] {
				known[m], lines = true, append(lines, m)
			}
			part := word.text[:n+1]
			if _, ok := vocab[part]; !ok {
				vocab[part], next = next, next+1
			}
		}
		vocab[word.text] = word.id
	}
	return vocab, strings.Join(lines, "\n") + "\n"
}

// byteRunes are the printable stand-ins of the 256 bytes in the order of their ids: those that print as themselves, then
// the others, from U+0100 on.
func byteRunes() []rune {
	var out, others []rune
	for b := rune(0); b < 256; b++ {
		if b >= 33 && b <= 126 || b >= 161 && b <= 172 || b >= 174 {
			out = append(out, b)
		} else {
			others = append(others, 256+rune(len(others)))
		}
	}
	return append(out, others...)
}
