package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

// journalLines has each line of the log say by its message alone what it is about, as `journalctl` shows nothing else; the fields
// are there all the same.
type journalLines struct{ to io.Writer }

func (j journalLines) Write(line []byte) (int, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return j.to.Write(line) //nolint:wrapcheck // the line is not ours to judge
	}
	message := fmt.Sprint(fields[zerolog.MessageFieldName])
	for _, name := range []string{"group", "vm", "stage"} {
		if about, is := fields[name].(string); is {
			message = about + ": " + message
			break
		}
	}
	for _, name := range []string{zerolog.ErrorFieldName, "reason"} {
		if why, is := fields[name].(string); is {
			message += ": " + why
		}
	}
	fields[zerolog.MessageFieldName] = bus.Line(message)
	complete, err := json.Marshal(fields)
	if err != nil {
		return 0, fmt.Errorf("log: %w", err)
	}
	if _, err := j.to.Write(complete); err != nil {
		return 0, fmt.Errorf("log: %w", err)
	}
	return len(line), nil
}
