package demo

import "slices"

// Text ids. The vocabulary is that of a byte-level tokenizer with the published order of byte tokens, so that letter
// 'a' is 64, '\n' is 198 and the text of an utterance can be read.
const (
	firstPhone = 64  // text id of 'a'; phones are 'a' … 'p'
	TextVocab  = 320 // rows of the teacher's text embedding
)

// Language is the language of every utterance: none is named to the model.
const Language = "auto"

var speakers = []string{"ada", "ben", "cleo", "dora", "emil", "finn", "gita", "hugo"}

// Speakers are the names of the speakers, in the order of their indices.
func Speakers() []string { return slices.Clone(speakers) }

// SpeakerIndex is the index of a speaker's name, -1 for a stranger.
func SpeakerIndex(name string) int { return slices.Index(speakers, name) }

// Letters is the text that the ids stand for.
func Letters(text []int32) string {
	b := make([]byte, len(text))
	for i, id := range text {
		b[i] = byte('a' + id - firstPhone)
	}
	return string(b)
}

func phoneOf(id int32) int { return int(id - firstPhone) }

func textID(phone int) int32 { return int32(phone) + firstPhone }
