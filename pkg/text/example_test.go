package text_test

import (
	"fmt"

	"github.com/qakd/qakd/pkg/text"
)

func Example() {
	tok, err := text.Load("../talker/testdata/tiny-f32/checkpoint")
	if err != nil {
		fmt.Println(err)
		return
	}
	ids := tok.Encode("A calm voice.")
	for _, id := range ids {
		fmt.Printf("%d %s\n", id, tok.Piece(id))
	}
	fmt.Println(tok.Decode(ids))
	_, err = tok.Body(" \n")
	fmt.Println(err)
	// Output:
	// 32 A
	// 353 Ġc
	// 326 al
	// 76 m
	// 359 Ġvoice
	// 13 .
	// A calm voice.
	// text: the text " \n" is only white space
}
