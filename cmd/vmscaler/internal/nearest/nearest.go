// Package nearest finds the name that a misspelt one was probably meant to be.
package nearest

import "strings"

// Name is the name that is spelled nearly as the word, "" if none is. Upper case, '-' and '_' make no difference.
func Name(word string, names []string) string {
	best, bestDistance := "", max(1, min(3, len(word)/3))+1
	for _, name := range names {
		if distance := editDistance(fold(word), fold(name)); distance < bestDistance {
			best, bestDistance = name, distance
		}
	}
	return best
}

// Hint is what to add to an error about a word; "" where no name is near.
func Hint(word string, names []string) string {
	if name := Name(word, names); name != "" {
		return "; did you mean " + name + "?"
	}
	return ""
}

// fold makes bootTimeout, boot-timeout and boot_timeout the same.
func fold(key string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key))
}

// editDistance is the number of bytes to insert, delete or replace, or of neighbors to swap, to make b of a.
func editDistance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := row[j]
			if a[i] != b[j] {
				cost++
			}
			next[j+1] = min(cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
