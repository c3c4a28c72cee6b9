package install

import (
	"bytes"
	"regexp"

	"github.com/vmscaler/vmscaler/actuator/console"
)

// first is which of the patterns matches first in a text, and where that match ends; -1 if none does. Of two that match at one
// place the earlier pattern counts. A nil pattern matches nothing.
func first(text []byte, patterns []*regexp.Regexp) (which, end int) {
	which, start := -1, 0
	for i, p := range patterns {
		if p == nil {
			continue
		}
		if at := p.FindIndex(text); at != nil && (which < 0 || at[0] < start) {
			which, start, end = i, at[0], at[1]
		}
	}
	return which, end
}

// keepEnd bounds what no pattern has matched yet.
func keepEnd(text []byte) []byte {
	if len(text) > console.MostText {
		return bytes.Clone(text[len(text)-console.MostText/2:])
	}
	return text
}
