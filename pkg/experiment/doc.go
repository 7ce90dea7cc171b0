// Package experiment turns a TOML file of named experiments into a program's
// configuration, and holds the command line that all examples share.
//
// The caller owns the type: any struct with toml tags, pre-filled with the
// built-in defaults. Values are laid over it in this order, the later one wins:
//
//	built-in            the pre-filled struct
//	[default]           shared by all experiments of the file
//	[experiment.PARENT] if the experiment says inherits = "PARENT" (one level)
//	[experiment.NAME]   the experiment
//	-set key=value      the command line
//
// Lists are replaced, tables and maps are merged key by key. Every value knows
// where it came from (Resolved.Values). Unknown keys, values of a wrong type
// and unknown names are errors that say key, value and what was expected, all
// of them at once. Two keys of an experiment are reserved: inherits, and
// description, which List shows.
//
//	cfg := DefaultConfig()
//	file, err := experiment.Find(flags.Config, embedded)
//	...
//	res, err := file.Resolve("demo-w4a8", flags.Set, &cfg)
//	...
//	res.Print(os.Stdout) // key, value and origin, for -dry-run
//
// The files hold values only: no names of Go types or functions, no includes,
// no environment variables. A name with a dot is quoted in the file:
// [experiment."qwen3-tts-0.6b-w4a16"].
package experiment
