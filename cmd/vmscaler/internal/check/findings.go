package check

import "fmt"

// Level is how bad a finding is.
type Level string

// With a Problem vmscaler, or its next VM, fails. With a Warning it works, badly or not for long.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Problem Level = "problem"
)

// Finding is one thing that was looked at.
type Finding struct {
	Level  Level  `json:"level"`
	Area   string `json:"area"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"` // the command, or the change, that fixes it
}

// Findings are in the order in which to fix them: nothing below a problem is worth a look before it.
func (f Facts) Findings() []Finding {
	var all []Finding
	for _, part := range []func() []Finding{
		f.config, f.libvirt, f.login, f.acceleration, f.machine, f.network, f.storage, f.templates, f.memory, f.queries,
	} {
		all = append(all, part()...)
	}
	return all
}

func good(area, format string, args ...any) Finding {
	return Finding{Level: OK, Area: area, Text: fmt.Sprintf(format, args...)}
}

func warning(area, remedy, format string, args ...any) Finding {
	return Finding{Level: Warning, Area: area, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

func problem(area, remedy, format string, args ...any) Finding {
	return Finding{Level: Problem, Area: area, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}
