package hub

import (
	"fmt"
	"regexp"
	"strings"
)

// Match tells whether a file's path matches a pattern, by the rules of the Python client: * is any run of characters,
// slashes among them; ? is one character, [a-z] one of a set; a slash at the end stands for all that the folder holds.
// Beyond these, **/ also matches no folder at all.
//
//	*.json               all JSON files, in every folder
//	config.json          only the one at the top
//	speech_tokenizer/    that folder
//	**/config.json       every config.json
func Match(pattern, name string) (bool, error) {
	re, err := compile(pattern)
	if err != nil {
		return false, err
	}
	return re.MatchString(name), nil
}

// checkPattern explains what is wrong with a pattern.
func checkPattern(what, pattern string) error {
	if pattern == "" {
		return fmt.Errorf("an %s pattern is empty", what)
	}
	if _, err := compile(pattern); err != nil {
		return fmt.Errorf("%s %w", what, err)
	}
	return nil
}

func compile(pattern string) (*regexp.Regexp, error) {
	malformed := fmt.Errorf("pattern %q is malformed", pattern)
	if strings.HasSuffix(pattern, "/") {
		pattern += "*"
	}
	var out strings.Builder
	out.WriteString(`^(?s:`)
	for i := 0; i < len(pattern); i++ {
		switch ch := pattern[i]; {
		case strings.HasPrefix(pattern[i:], "**/") && (i == 0 || pattern[i-1] == '/'):
			out.WriteString(`(?:.*/)?`)
			i += 2
		case ch == '*':
			out.WriteString(`.*`)
		case ch == '?':
			out.WriteString(`.`)
		case ch == '[':
			set, _, closed := strings.Cut(pattern[i+1:], "]")
			if !closed {
				return nil, malformed
			}
			i += len(set) + 1
			not := ""
			if set != "" && (set[0] == '!' || set[0] == '^') {
				set, not = set[1:], "^"
			}
			out.WriteString("[" + not + strings.NewReplacer(`[`, `\[`, `^`, `\^`, `\`, `\\`).Replace(set) + "]")
		case ch == '\\':
			if i++; i == len(pattern) {
				return nil, malformed
			}
			out.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		default:
			out.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	out.WriteString(`)$`)
	re, err := regexp.Compile(out.String())
	if err != nil { // an empty set, or one such as [z-a]
		return nil, malformed
	}
	return re, nil
}

// choose returns the files that some include matches (all, if there is none) and no exclude does. An include that
// matches nothing is an error: it is a slip of the pen, and would otherwise be found out much later.
func choose(files []entry, r Request) ([]entry, error) {
	match := func(patterns []string, name string, used map[string]bool) bool {
		any := false
		for _, p := range patterns {
			if ok, _ := Match(p, name); ok { // Validate has checked the pattern
				any, used[p] = true, true
			}
		}
		return any
	}
	used := map[string]bool{}
	var out []entry
	for _, f := range files {
		if (len(r.Include) == 0 || match(r.Include, f.path, used)) && !match(r.Exclude, f.path, map[string]bool{}) {
			out = append(out, f)
		}
	}
	for _, p := range r.Include {
		if !used[p] {
			return nil, fmt.Errorf("include pattern %q matches none of the %d files (%s)", p, len(files), someOf(files))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("nothing is left to fetch: the exclude patterns match all that was wanted of %d files (%s)", len(files), someOf(files))
	}
	return out, nil
}

// someOf names the first few files.
func someOf(files []entry) string {
	var names []string
	for i, f := range files {
		if i == 8 {
			names = append(names, fmt.Sprintf("%d more", len(files)-i))
			break
		}
		names = append(names, f.path)
	}
	return strings.Join(names, ", ")
}
