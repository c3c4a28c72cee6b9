package install

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/console"
	"github.com/vmscaler/vmscaler/bus"
)

// Player plays a script: it takes what a console prints and tells what to type. It knows no time, and does nothing by itself.
type Player struct {
	steps   []Step
	at      int // the step that is waited for
	screen  console.Screen
	unread  []byte // what was printed after the last match
	secrets []string
}

// NewPlayer begins a script. The secrets are not shown where the player shows what was printed.
func NewPlayer(steps []Step, secrets ...string) *Player {
	return &Player{steps: steps, secrets: secrets}
}

// FailedError says that a step's pattern for failure has come.
type FailedError struct{ Step, Line string }

// Error does not name the step, which the *StepError around it does.
func (e *FailedError) Error() string { return fmt.Sprintf("it says %q", e.Line) }

// Done reports whether all steps have come.
func (p *Player) Done() bool { return p.at >= len(p.steps) }

// Step is the step that is waited for; the last one when all have come.
func (p *Player) Step() Step { return p.steps[min(p.at, len(p.steps)-1)] }

// Feed takes what was read and returns what is to be typed, in order. The error is a *FailedError.
func (p *Player) Feed(data []byte) (typed []string, err error) {
	p.unread = append(p.unread, p.screen.Add(data)...)
	for !p.Done() {
		step := p.steps[p.at]
		patterns := []*regexp.Regexp{step.Fail, step.Expect}
		for _, a := range step.Also {
			patterns = append(patterns, a.Expect)
		}
		which, end := first(p.unread, patterns)
		if which < 0 {
			break
		}
		said := string(step.line(p.unread, end))
		p.unread = p.unread[end:]
		switch which {
		case 0:
			return typed, &FailedError{step.Name, p.hide(bus.Line(said))}
		case 1:
			p.at++
			typed = append(typed, step.typed()...)
		default:
			typed = append(typed, step.Also[which-2].Send+"\n")
		}
	}
	p.unread = keepEnd(p.unread)
	return typed, nil
}

// line is the line in which a match ends.
func (s Step) line(text []byte, end int) []byte {
	begin := strings.LastIndexByte(string(text[:max(0, end-1)]), '\n') + 1
	rest := strings.IndexByte(string(text[end:]), '\n')
	if rest < 0 {
		rest = len(text) - end
	}
	return text[begin : end+rest]
}

func (s Step) typed() []string {
	if s.Send == nil {
		return nil
	}
	return []string{*s.Send + "\n"}
}

// Tail is the last lines that were printed, each harmless for a terminal.
func (p *Player) Tail(lines int) []string {
	tail := p.screen.Tail(lines)
	for i := range tail {
		tail[i] = p.hide(bus.Line(tail[i]))
	}
	return tail
}

func (p *Player) hide(text string) string {
	for _, s := range p.secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "********")
		}
	}
	return text
}
