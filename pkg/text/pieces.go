package text

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxIDs bounds ids: tables have a row for each, and an id with a digit too many must not take all memory.
const maxIDs = 1 << 22

// parsePieces reads one object of piece: id. encoding/json alone would keep the last of two equal keys and not say so.
func parsePieces(path string, data []byte) (map[string]int32, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	fail := func(err error) error {
		var all json.RawMessage
		if better := json.Unmarshal(data, &all); better != nil { // it knows the place, a stream of tokens does not
			err = better
		}
		return fmt.Errorf("text: %s: %w", at(path, data, err), err)
	}
	open, err := dec.Token()
	if err != nil {
		return nil, fail(err)
	}
	if open != json.Delim('{') {
		return nil, fmt.Errorf("text: %s: begins with %v, want an object of piece: id", path, open)
	}
	out := make(map[string]int32, len(data)/24)
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, fail(err)
		}
		piece, _ := key.(string) // keys of objects are strings
		value, err := dec.Token()
		if err != nil {
			return nil, fail(err)
		}
		number, _ := value.(json.Number)
		id, err := strconv.ParseInt(string(number), 10, 32)
		if err != nil || id < 0 || id >= maxIDs {
			return nil, fmt.Errorf("text: %s: the id of piece %q is %v, want an integer from 0 to %d", path, clip(piece), value, maxIDs-1)
		}
		if _, twice := out[piece]; twice {
			return nil, fmt.Errorf("text: %s: piece %q stands there twice", path, clip(piece))
		}
		out[piece] = int32(id)
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, fail(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("text: %s: something follows the object of pieces", path)
	}
	return out, nil
}
