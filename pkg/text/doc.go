// Package text turns text into token ids and back: the byte-level byte pair encoding of the Qwen2 family, as Qwen3-TTS
// uses it.
//
//	tok, err := text.Load("checkpoint")     // vocab.json, merges.txt, tokenizer_config.json
//	ids := tok.Encode("Hello, world!")      // [9707 11 1879 0] with the published vocabulary
//	s := tok.Decode(ids)                    // "Hello, world!"
//	body, err := tok.Body("Hello, world!")  // what a prompt of Qwen3-TTS has of a text
//
// Encoding goes in five steps:
//
//  1. Added tokens ("<|im_start|>") are cut out of the text as it was given; of those that begin at one place the longest.
//  2. What lies between them is brought into normalization form C.
//  3. It is split into words (Split), with the classes of Unicode and without regular expressions: the split looks ahead,
//     which package regexp cannot.
//  4. The UTF-8 bytes of a word are its first pieces.
//  5. Of the neighbors that merges.txt joins, those that it lists first are joined, from the left, until none is left.
//
// No token is added in front or behind, no byte is unknown. The decoded text of Encode(s) is the normalization form C of s,
// added tokens apart, which stay as they are.
//
// Text that is no UTF-8 loses nothing either: each stray byte counts as a symbol, and Decode gives it back. Prompts refuse
// such text, as it is text in another encoding more often than not.
//
// Encode keeps the ids of words that it met, up to a fixed number; a Tokenizer may be used from many goroutines.
//
// The program examples/tokenize shows the ids and pieces of a text. Package sugarme beside this one makes the parts usable
// in github.com/sugarme/tokenizer, whose own are not right for this vocabulary.
package text
