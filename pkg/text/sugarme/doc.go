// Package sugarme makes the tokenizer of package text usable in github.com/sugarme/tokenizer, as that module's Model,
// Normalizer and PreTokenizer.
//
//	tok, err := text.Load("checkpoint")
//	t := sugarme.New(tok)                // a *tokenizer.Tokenizer
//	en, err := t.EncodeSingle("Hello")   // en.Ids are those of tok.Encode
//
// The module's own parts are not right for the vocabulary of Qwen2: its splits know no look-ahead, its ByteLevel always
// splits again in the manner of GPT-2, its NFC decomposes, and its byte pair encoding breaks ties by another order than
// left to right.
//
// The three parts belong together. PreTokenizer hands over words as text, not in the byte alphabet, so Model does not fit
// behind the module's ByteLevel; ByteLevel does fit as a decoder. PreTokenizer normalizes by itself, so Normalizer may be
// left out: it is for those who want to see the normalized text.
//
// Added tokens need no registering, and must not be given to AddTokens or AddSpecialTokens: PreTokenizer cuts them out of
// the text, Model knows their ids. The module would look for them first, and loses some where several of them stand in
// another order than that of their ids, as in every prompt of Qwen3-TTS.
//
// Text must be UTF-8; the module counts in characters and has no place for other bytes.
package sugarme
