package check

import (
	"fmt"
	"io"
	"strings"

	"github.com/pterm/pterm"

	"github.com/vmscaler/vmscaler/bus"
)

// Count is how many problems and warnings there are.
func Count(findings []Finding) (problems, warnings int) {
	for _, f := range findings {
		switch f.Level {
		case Problem:
			problems++
		case Warning:
			warnings++
		case OK:
		}
	}
	return problems, warnings
}

// Print writes one line for each finding, and below it the remedy of one that has one.
func Print(w io.Writer, findings []Finding, color bool) error {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s  %-12s  %s\n", paint(f.Level, fmt.Sprintf("%-7s", f.Level), color), bus.Line(f.Area), bus.Line(f.Text))
		if f.Remedy != "" {
			fmt.Fprintf(&b, "%26s%s\n", "-> ", bus.Line(f.Remedy))
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print the findings: %w", err)
	}
	return nil
}

// Report is what was found, for programs.
type Report struct {
	V        int       `json:"v"`
	Ready    bool      `json:"ready"`
	Findings []Finding `json:"findings"`
}

// NewReport is one of some findings.
func NewReport(findings []Finding) Report {
	problems, _ := Count(findings)
	return Report{1, problems == 0, findings}
}

// paint does not use pterm's own Sprint, which looks at the process's output and environment.
func paint(level Level, text string, color bool) string {
	if !color {
		return text
	}
	look := map[Level]pterm.Style{OK: {pterm.FgGreen}, Warning: {pterm.FgYellow}, Problem: {pterm.FgRed}}[level]
	return "\x1b[" + look.Code() + "m" + text + "\x1b[0m"
}
