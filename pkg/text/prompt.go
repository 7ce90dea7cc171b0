package text

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Qwen3-TTS was trained on turns of a chat. What goes into them is inserted as it is, so the spelling of an added token in
// a text is that token. The model takes the turns apart by position, which makes the lengths of their frames part of the
// format: three tokens of role, two that end a turn, five that end it and open the answer.
const (
	roleOpen = "<|im_start|>assistant\n"
	userOpen = "<|im_start|>user\n"
	turnEnd  = "<|im_end|>\n"

	roleTokens   = 3
	endTokens    = 2
	answerTokens = endTokens + roleTokens
)

// Body is the tokens of a text that shall be spoken, as they stand between role and end of
//
//	<|im_start|>assistant\n TEXT <|im_end|>\n<|im_start|>assistant\n
//
// Line breaks that a text begins with melt into the role's and are not part of the body, as in the reference. A text that
// is empty or only white space is an error, there being nothing to speak; so are text that is no UTF-8, and a vocabulary
// in which the frame has other lengths.
func (t *Tokenizer) Body(text string) ([]int32, error) {
	return t.between("text", text, turnEnd+roleOpen, answerTokens)
}

// Reference is the tokens of what a recording says whose voice is to be cloned, as they stand between role and end of
//
//	<|im_start|>assistant\n TEXT <|im_end|>\n
//
// with the errors of Body.
func (t *Tokenizer) Reference(text string) ([]int32, error) {
	return t.between("reference text", text, turnEnd, endTokens)
}

// Instruct is the tokens of a turn that says how to speak, frame and all:
//
//	<|im_start|>user\n TEXT <|im_end|>\n
//
// An empty text is no instruction, and no turn: no tokens and no error. White space alone is an error, as in Body.
func (t *Tokenizer) Instruct(text string) ([]int32, error) {
	if text == "" {
		return nil, nil
	}
	if err := speakable("instruction", text); err != nil {
		return nil, err
	}
	if err := t.frame(turnEnd, endTokens); err != nil {
		return nil, err
	}
	return t.Encode(userOpen + text + turnEnd), nil
}

// between encodes a turn of the assistant and cuts off its frame.
func (t *Tokenizer) between(what, text, end string, endLength int) ([]int32, error) {
	if err := speakable(what, text); err != nil {
		return nil, err
	}
	if err := t.frame(roleOpen, roleTokens); err != nil {
		return nil, err
	}
	if err := t.frame(end, endLength); err != nil {
		return nil, err
	}
	ids := t.Encode(roleOpen + text + end)
	if len(ids) <= roleTokens+endLength {
		return nil, fmt.Errorf("text: %s %q leaves no token in its turn", what, clip(text))
	}
	return slices.Clone(ids[roleTokens : len(ids)-endLength]), nil
}

// frame checks the length of a part of the format.
func (t *Tokenizer) frame(part string, want int) error {
	if ids := t.Encode(part); len(ids) != want || !t.IsAdded(ids[0]) {
		return fmt.Errorf("text: %s: %q is %d tokens, want %d that begin with an added one: not a vocabulary of Qwen3-TTS", t.files.Dir, part, len(ids), want)
	}
	return nil
}

// speakable is an error for text that cannot be meant.
func speakable(what, text string) error {
	if strings.TrimSpace(text) == "" {
		if text == "" {
			return fmt.Errorf("text: the %s is empty", what)
		}
		return fmt.Errorf("text: the %s %q is only white space", what, clip(text))
	}
	if i := invalid(text); i >= 0 {
		return fmt.Errorf("text: the %s has byte 0x%02X at %d, which is no UTF-8", what, text[i], i)
	}
	return nil
}

// invalid is the place of the first byte that is no UTF-8, or -1.
func invalid(text string) int {
	for i, r := range text {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
				return i
			}
		}
	}
	return -1
}
