// Package fixedseed, imported for its effect, lets the property tests of a package draw the same numbers at every run.
// -rapid.seed=0 draws others, and so does RAPID_SEED with a number.
package fixedseed

import (
	"flag"
	"os"

	_ "pgregory.net/rapid" // defines the flag
)

func init() {
	if os.Getenv("RAPID_SEED") != "" {
		return
	}
	if err := flag.Set("rapid.seed", "1"); err != nil {
		panic(err) // unreachable: the import above has defined it, of a number
	}
}
