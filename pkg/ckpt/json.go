package ckpt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// object walks one JSON object and calls field with each key; field must read
// exactly the key's value from dec. encoding/json keeps the last of two equal
// keys and says nothing; here a duplicate is an error, since it would let two
// readers see two different checkpoints.
func object(dec *json.Decoder, what string, field func(key string) error) error {
	if err := delim(dec, '{', what); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return jsonErr(what, err)
		}
		key := tok.(string) // inside an object encoding/json yields string keys only
		if seen[key] {
			return fmt.Errorf("%s: duplicate key %q", what, key)
		}
		seen[key] = true
		if err := field(key); err != nil {
			return err
		}
	}
	return delim(dec, '}', what)
}

// document decodes data as exactly one JSON object.
func document(data []byte, what string, field func(dec *json.Decoder, key string) error) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("%s: not valid UTF-8", what)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := object(dec, what, func(key string) error { return field(dec, key) }); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%s: data after the closing brace", what)
	}
	return nil
}

func delim(dec *json.Decoder, want json.Delim, what string) error {
	tok, err := dec.Token()
	if err != nil {
		return jsonErr(what, err)
	}
	if tok != want {
		return fmt.Errorf("%s: found %v, want %q", what, tok, want.String())
	}
	return nil
}

func stringValue(dec *json.Decoder, what string) (string, error) {
	tok, err := dec.Token()
	if err != nil {
		return "", jsonErr(what, err)
	}
	s, ok := tok.(string)
	if !ok {
		return "", fmt.Errorf("%s: found %v, want a string", what, tok)
	}
	return s, nil
}

// intArray reads an array of non-negative integers of at most 63 bits.
func intArray(dec *json.Decoder, what string) ([]int64, error) {
	if err := delim(dec, '[', what); err != nil {
		return nil, err
	}
	out := []int64{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, jsonErr(what, err)
		}
		num, ok := tok.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%s: found %v, want an integer", what, tok)
		}
		v, err := strconv.ParseInt(num.String(), 10, 64)
		if err != nil || v < 0 {
			return nil, fmt.Errorf("%s: %s is not an integer between 0 and 2^63-1", what, num)
		}
		out = append(out, v)
	}
	return out, delim(dec, ']', what)
}

func jsonErr(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: JSON ends early", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}
