package data_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/qakd/qakd/pkg/data"
)

func two() data.List {
	return data.List{ // and a third with everything that a row can have
		{ID: "u1", Text: []int32{64, 65}, Speaker: "ada", Language: "auto", Codes: [][]int32{{3, 1, 4}, {1, 5, 9}}},
		{ID: "u2", Text: []int32{70}, Speaker: "ben", Language: "english", Codes: [][]int32{{2, 6, 5}}},
		{
			ID: "u3", Text: []int32{71}, Language: "german", Codes: [][]int32{{2, 6, 5}},
			Instruct: []int32{9, 8}, Vector: []float32{0.1, -1e-20, 3}, RefText: []int32{72, 73}, RefCodes: [][]int32{{1, 1, 1}, {2, 2, 2}},
			From: data.Origin{Text: "a < b & c", Instruct: "low", RefText: "你好", Audio: "a.wav", RefAudio: "r.wav"},
		},
	}
}

func TestWriterAndReaderAreInverse(t *testing.T) {
	var b bytes.Buffer
	w := data.NewWriter(&b)
	for _, u := range two() {
		if err := w.Write(u); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(b.String(), "\n")
	if want := `{"id":"u1","text_ids":[64,65],"speaker":"ada","language":"auto","audio_codes":[[3,1,4],[1,5,9]]}`; first != want {
		t.Errorf("row is %s, want %s", first, want)
	}
	if last := `"text":"a < b & c"`; !strings.Contains(b.String(), last) {
		t.Errorf("no %s in %s", last, b.String())
	}
	got, err := data.ReadAll(data.NewReader(&b, "x.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(two(), got); d != "" {
		t.Error(d)
	}
}

func TestReaderNamesTheFault(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"not JSON", "{\"id\":", `data: x.jsonl:1: not a JSON object: unexpected end of JSON input`},
		{"not an object", "[1]", `data: x.jsonl:1: not a JSON object: json: cannot unmarshal array into Go value of type map[string]json.RawMessage`},
		{"second line", "\n" + `{"text_ids":"ab"}`, `data: x.jsonl:2: key "text_ids" holds string, want a list of 32-bit token ids`},
		{"fraction", `{"text_ids":[1],"audio_codes":[[1,2.5]]}`, `data: x.jsonl:1: key "audio_codes" holds number 2.5, want a list of frames, each a list of 32-bit codes`},
		{"too large", `{"text_ids":[3000000000]}`, `data: x.jsonl:1: key "text_ids" holds number 3000000000, want a list of 32-bit token ids`},
		{"unknown key", `{"texts":[1]}`, `data: x.jsonl:1: unknown key "texts", want one of: id, text, text_ids, speaker, language, speaker_vector, instruct, instruct_ids, ref_text, ref_text_ids, ref_audio, ref_audio_codes, audio, audio_codes`},
		{"no text", `{"audio_codes":[[1]]}`, `data: x.jsonl:1: key "text_ids" is missing or empty, want at least one id`},
		{"no frames", `{"text_ids":[1],"audio_codes":[]}`, `data: x.jsonl:1: key "audio_codes" is missing or empty, want at least one frame of codes`},
		{"null frame", `{"text_ids":[1],"audio_codes":[null]}`, `data: x.jsonl:1: key "audio_codes" is missing or empty, want at least one frame of codes`},
		{"ragged", `{"text_ids":[1],"audio_codes":[[1,2],[3]]}`, `data: x.jsonl:1: key "audio_codes"[1] has 1 codes, want 2 as audio_codes[0] has`},
		{"negative code", `{"text_ids":[1],"audio_codes":[[1,-2]]}`, `data: x.jsonl:1: key "audio_codes"[0][1] is -2, want 0 … 2147483647`},
		{"negative id", `{"text_ids":[-1],"audio_codes":[[1]]}`, `data: x.jsonl:1: key "text_ids"[0] is -1, want 0 … 2147483647`},
		{"vector", `{"text_ids":[1],"audio_codes":[[1]],"speaker_vector":[1,"x"]}`, `data: x.jsonl:1: key "speaker_vector" holds string, want a list of numbers`},
		{"huge vector", `{"text_ids":[1],"audio_codes":[[1]],"speaker_vector":[1e39]}`, `data: x.jsonl:1: key "speaker_vector" holds number 1e39, want a list of numbers`},
		{"reference codes", `{"text_ids":[1],"audio_codes":[[1,2]],"ref_audio_codes":[[1,2],[3]]}`, `data: x.jsonl:1: key "ref_audio_codes"[1] has 1 codes, want 2 as audio_codes[0] has`},
		{"reference text", `{"text_ids":[1],"audio_codes":[[1]],"ref_text_ids":[1,-7]}`, `data: x.jsonl:1: key "ref_text_ids"[1] is -7, want 0 … 2147483647`},
		{"instruction", `{"text_ids":[1],"audio_codes":[[1]],"instruct_ids":{}}`, `data: x.jsonl:1: key "instruct_ids" holds object, want a list of 32-bit token ids`},
		{"text without tokenizer", `{"text":"hi","audio_codes":[[1]]}`, `data: x.jsonl:1: key "text" is text and no tokenizer is at hand, want "text_ids" beside it`},
		{"text that is none", `{"text":5,"audio_codes":[[1]]}`, `data: x.jsonl:1: key "text" holds number, want a string`},
		{"not prepared", `{"text_ids":[1],"audio":"a.wav","ref_audio":"r.wav"}`, `data: x.jsonl:1: key "audio_codes" is missing or empty, want at least one frame of codes (examples/prepare makes them from audio)`},
		{"id twice", `{"id":"a","text_ids":[1],"audio_codes":[[1]]}` + "\n" + `{"id":"a","text_ids":[1],"audio_codes":[[1]]}`,
			`data: x.jsonl:2: key "id" is "a", already used in line 1, want a unique id`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := data.ReadAll(data.NewReader(strings.NewReader(tt.text), "x.jsonl"))
			if err == nil || err.Error() != tt.want {
				t.Errorf("error is\n%v, want\n%s", err, tt.want)
			}
		})
	}
}

func TestEmptyDataIsAnError(t *testing.T) {
	for _, text := range []string{"", "\n \n"} {
		_, err := data.ReadAll(data.NewReader(strings.NewReader(text), "x.jsonl"))
		if !errors.Is(err, data.ErrEmpty) || err.Error() != "data: x.jsonl: no utterances, want at least one" {
			t.Errorf("%q: error is %v", text, err)
		}
	}
	if _, err := data.NewSampler(data.List{}, data.DefaultSamplerConfig()); !errors.Is(err, data.ErrEmpty) {
		t.Errorf("sampler of nothing: error is %v", err)
	}
}

func TestReaderDefaultsAndForeignKeys(t *testing.T) {
	line := `{"audio":"a.wav","text":"hi","ref_audio":"r.wav","text_ids":[1],"audio_codes":[[1]]}`
	u, err := data.NewReader(strings.NewReader(line), "x.jsonl").Next() // no newline at the end of the file
	if err != nil || u.ID != "x.jsonl:1" {
		t.Errorf("utterance %+v, error %v; want id x.jsonl:1", u, err)
	}
}

// letters is a tokenizer of one token a byte; an instruction begins with 0.
type letters struct{}

func (letters) Body(s string) (ids []int32, err error) {
	if s == "bad" {
		return nil, errors.New("no token for it")
	}
	for _, c := range []byte(strings.TrimSpace(s)) {
		ids = append(ids, int32(c))
	}
	return ids, nil
}

func (l letters) Reference(s string) ([]int32, error) {
	ids, err := l.Body(s)
	return append(ids, 1), err
}

func (l letters) Instruct(s string) ([]int32, error) {
	ids, err := l.Body(s)
	return append([]int32{0}, ids...), err
}

func TestTextsAreTokenized(t *testing.T) {
	tests := []struct{ line, want, err string }{
		{`{"text":"ab","instruct":"c","ref_text":"d","audio_codes":[[1]]}`, "[97 98] [0 99] [100 1]", ""},
		{`{"text":"ab","text_ids":[5],"instruct":"c","instruct_ids":[6],"ref_text":"d","ref_text_ids":[7],"audio_codes":[[1]]}`, "[5] [6] [7]", ""},
		{`{"text":"ab","instruct":"","ref_text":"","ref_text_ids":[],"audio_codes":[[1]]}`, "[97 98] [] []", ""},
		{`{"text":"bad","audio_codes":[[1]]}`, "", `data: x.jsonl:1: key "text": no token for it`},
		{`{"text":" ","audio_codes":[[1]]}`, "", `data: x.jsonl:1: key "text" is " ", which has no tokens, want at least one`},
		{`{"text":"","audio_codes":[[1]]}`, "", `data: x.jsonl:1: key "text_ids" is missing or empty, want at least one id`},
	}
	for _, tt := range tests {
		r := data.NewReader(strings.NewReader(tt.line), "x.jsonl")
		r.Tokenizer = letters{}
		u, err := r.Next()
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%s: error is\n%v, want\n%s", tt.line, err, tt.err)
			}
			continue
		}
		if got := fmt.Sprint(u.Text, u.Instruct, u.RefText); err != nil || got != tt.want {
			t.Errorf("%s: ids %s, error %v; want %s", tt.line, got, err, tt.want)
		}
	}
}

func TestOpenMissingFile(t *testing.T) {
	if _, err := data.OpenJSONL("testdata/none.jsonl"); err == nil || !strings.Contains(err.Error(), "testdata/none.jsonl") {
		t.Errorf("error is %v, want one that names the file", err)
	}
}

func TestWriterRefusesWhatReaderWould(t *testing.T) {
	err := data.NewWriter(io.Discard).Write(data.Utterance{ID: "u", Text: []int32{1}})
	if want := `data: utterance "u": key "audio_codes" is missing or empty, want at least one frame of codes`; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestCheck(t *testing.T) {
	l := data.Limits{TextVocab: 100, Groups: 3, Codebook: 10, Voice: 3}
	tests := []struct {
		name, want string
		change     func(*data.Utterance)
	}{
		{"fits", "", func(*data.Utterance) {}},
		{"text id", `data: utterance "u1": text_ids[1] is 100, want 0 … 99`, func(u *data.Utterance) { u.Text[1] = 100 }},
		{"no text", `data: utterance "u1": text_ids is empty, want at least one id`, func(u *data.Utterance) { u.Text = nil }},
		{"no frames", `data: utterance "u1": audio_codes is empty, want at least one frame`, func(u *data.Utterance) { u.Codes = nil }},
		{"groups", `data: utterance "u1": audio_codes[1] has 2 codes, want 3`, func(u *data.Utterance) { u.Codes[1] = u.Codes[1][:2] }},
		{"instruction", `data: utterance "u3": instruct_ids[0] is 100, want 0 … 99`, func(u *data.Utterance) { *u = two()[2]; u.Instruct[0] = 100 }},
		{"reference text", `data: utterance "u3": ref_text_ids[1] is -1, want 0 … 99`, func(u *data.Utterance) { *u = two()[2]; u.RefText[1] = -1 }},
		{"reference code", `data: utterance "u3": ref_audio_codes[1][2] is 10, want 0 … 9`, func(u *data.Utterance) { *u = two()[2]; u.RefCodes[1][2] = 10 }},
		{"vector", `data: utterance "u3": speaker_vector has 2 numbers, want 3`, func(u *data.Utterance) { *u = two()[2]; u.Vector = u.Vector[:2] }},
		{"vector with a hole", `data: utterance "u3": speaker_vector[1] is NaN, want a finite number`, func(u *data.Utterance) { *u = two()[2]; u.Vector[1] = float32(math.NaN()) }},
		{"code", `data: utterance "u1": audio_codes[0][2] is 10, want 0 … 9`, func(u *data.Utterance) { u.Codes[0][2] = 10 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := two()[0]
			tt.change(&u)
			got := ""
			if err := u.Check(l); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("error is %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzReader: whatever the bytes are, an utterance that is read can be written and read again unchanged.
func FuzzReader(f *testing.F) {
	f.Add(`{"id":"u1","text_ids":[64],"speaker":"ada","language":"auto","audio_codes":[[3,1],[1,5]]}`)
	f.Add(`{"text_ids":[1],"audio_codes":[[1],null]}`)
	f.Add(`{"text_ids":[1],"text":"<a>\u2028","audio_codes":[[1]],"speaker_vector":[],"instruct_ids":[],"ref_audio_codes":[[2]],"ref_text_ids":null}`)
	f.Add(`{"text_ids":[1],"audio_codes":[[1]],"speaker_vector":[1e-46,3.4e38],"ref_text":"x","ref_text_ids":[2]}`)
	f.Fuzz(func(t *testing.T, line string) {
		u, err := data.NewReader(strings.NewReader(line), "x").Next()
		if err != nil {
			return
		}
		var b bytes.Buffer
		w := data.NewWriter(&b)
		if err := errors.Join(w.Write(u), w.Flush()); err != nil {
			t.Fatal(err)
		}
		again, err := data.NewReader(&b, "y").Next()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(u, again); d != "" {
			t.Error(d)
		}
	})
}
