package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

// harmless is a writer of text for people, whose last exit it is: names and errors in it are from guests, files, libvirt
// and the bus, and a terminal would obey what they say.
type harmless struct{ io.Writer }

func (h harmless) Write(p []byte) (int, error) {
	columns := strings.Split(string(p), "\t") // of a table
	for i := range columns {
		columns[i] = bus.Lines(columns[i])
	}
	if _, err := io.WriteString(h.Writer, strings.Join(columns, "\t")); err != nil {
		return 0, err
	}
	return len(p), nil
}

// bare is what a writer writes to, for those who clean what they print by themselves and add colors.
func bare(w io.Writer) io.Writer {
	if h, is := w.(harmless); is {
		return h.Writer
	}
	return w
}

// harmlessMessage makes a log line's message harmless; of all else the console's writer quotes what needs it.
func harmlessMessage(line map[string]any) error {
	if message, is := line[zerolog.MessageFieldName]; is {
		line[zerolog.MessageFieldName] = bus.Line(fmt.Sprint(message))
	}
	return nil
}
