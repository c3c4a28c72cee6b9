package config

import (
	"bytes"
	"fmt"
)

// Bounds of a file before it is parsed: the parser's time grows with the square of what is nested in each other, of what is
// in one mapping, and of a line's length, so that a hundred kilobytes of "[" take a minute.
const (
	maxFile     = 256 << 10 // bytes, about 500 groups; real ones have less than 2 KiB
	maxLine     = 2048      // bytes
	maxBrackets = 4096      // [, {, and - in a line after another -, wherever they are
	maxSiblings = 1024      // lines of the same indentation, below one of less
	maxValue    = 1 << 10   // bytes of a value that is set while a group runs
)

// excess is what of a file is beyond a bound; found is "" if nothing is.
func excess(data []byte) (at position, found, allowed string) {
	if len(data) > maxFile {
		return position{}, "a longer file", fmt.Sprintf("at most %d KiB", maxFile>>10)
	}
	brackets, number := 0, 0
	var siblings []int // lines by their indentation, since one of less
	for line := range bytes.Lines(data) {
		number++
		text := bytes.TrimRight(line, "\r\n")
		if len(text) > maxLine {
			return position{number, 1}, fmt.Sprintf("a line of %d bytes", len(text)), fmt.Sprintf("at most %d", maxLine)
		}
		for _, opening := range []string{"[", "{", "- -"} {
			brackets += bytes.Count(text, []byte(opening))
		}
		if brackets > maxBrackets {
			return position{number, 1}, fmt.Sprintf("more than %d of [, { and - -", maxBrackets), "fewer"
		}
		words := bytes.TrimLeft(text, " \t")
		if len(words) == 0 || words[0] == '#' {
			continue
		}
		indent := len(text) - len(words)
		for len(siblings) <= indent {
			siblings = append(siblings, 0)
		}
		siblings = siblings[:indent+1]
		if siblings[indent]++; siblings[indent] > maxSiblings {
			return position{number, indent + 1}, fmt.Sprintf("more than %d settings side by side", maxSiblings), "fewer"
		}
	}
	return position{}, "", ""
}
