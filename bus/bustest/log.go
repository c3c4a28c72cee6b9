package bustest

import (
	"bytes"
	"strings"
	"sync"

	"github.com/rs/zerolog"
)

// LogLines is a log that can be read while it is written.
type LogLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *LogLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// With are the lines that contain a text.
func (l *LogLines) With(part string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, part) {
			lines = append(lines, line)
		}
	}
	return lines
}

// Logger writes to it.
func (l *LogLines) Logger() zerolog.Logger { return zerolog.New(l) }
