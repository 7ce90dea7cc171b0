package experiment

import "fmt"

// didYouMean returns `, did you mean "x"?` for the candidate nearest to word,
// or "" when none is near: at most a third of the letters, and two for short
// words, may differ.
func didYouMean(word string, candidates []string) string {
	best, bestAt := max(2, len(word)/3)+1, -1
	for i, c := range candidates {
		if d := distance(word, c); d < best {
			best, bestAt = d, i
		}
	}
	if bestAt < 0 || best >= len(word) {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", candidates[bestAt])
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j]+1, row[j+1]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
