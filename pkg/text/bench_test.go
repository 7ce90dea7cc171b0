package text_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/text"
)

// prose is English and Chinese sentences; seed numbers its paragraphs, so that no two texts are alike.
func prose(paragraphs int) string {
	var b strings.Builder
	for i := range paragraphs {
		fmt.Fprintf(&b, "%d. The windows are open and the weather is warm; a calm voice can't be heard from %d rooms away. "+
			"She'd told them—twice!—that \"nothing ever happens\" in Winterbourne, population %d.\n\n", i, i%17, 1000+i*37)
		if i%4 == 3 {
			b.WriteString("今天天气很好，我们去公园散步。混合 mixed 文本 with English，以及123数字。\n")
		}
	}
	return b.String()
}

func BenchmarkEncode(b *testing.B) {
	toks := map[string]*text.Tokenizer{"small": load(b, small)}
	if !testing.Short() {
		if tok, err := text.Load("testdata/qwen3"); err == nil {
			toks["published"] = tok
		}
	}
	chinese := strings.Repeat("今天天气很好，我们去公园散步。昨天的雨终于停了，街上的人多了起来！", 2000)
	for name, tok := range toks {
		for kind, s := range map[string]string{"prose": prose(2000), "chinese": chinese, "word": strings.Repeat("abcdefgh", 4000)} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.SetBytes(int64(len(s)))
				var ids []int32
				for b.Loop() {
					ids = tok.Append(ids[:0], s)
				}
			})
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		load(b, small)
	}
}
