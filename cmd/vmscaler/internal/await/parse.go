package await

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// The conditions as they are typed.
const (
	wordReady    = "ready"
	wordDesired  = "desired"
	wordStable   = "stable"
	wordTemplate = "template"
	wordVM       = "vm"
	wordRefresh  = "refresh"

	wordGone   = "gone"   // of a VM
	wordDone   = "done"   // of a refresh
	wordCanary = "canary" // the same
)

// Forms are the conditions that [Parse] reads, each with an example.
func Forms() []string {
	return []string{
		"stable",
		"ready=3",
		"ready=3+",
		"desired=3",
		"template=web-2",
		"vm=web-1:ready",
		"vm=web-1:gone",
		"refresh=done",
		"refresh=canary",
	}
}

// Parse reads a condition. The error says what was found and what is allowed.
func Parse(text string) (Condition, error) {
	word, value, _ := strings.Cut(text, "=")
	c, err := parse(word, value)
	if err != nil {
		return nil, fmt.Errorf("condition: found %q, want %w", text, err)
	}
	return c, nil
}

// parse returns what is wanted as the error.
func parse(word, value string) (Condition, error) {
	switch word {
	case wordStable:
		if value != "" {
			return nil, errors.New("stable, without a value")
		}
		return Stable{}, nil
	case wordReady:
		digits, more := strings.CutSuffix(value, "+")
		n, err := number(digits)
		if err != nil {
			return nil, errors.New("ready=N for exactly N VMs or ready=N+ for N or more, with N from 0")
		}
		return Ready{VMs: n, OrMore: more}, nil
	case wordDesired:
		n, err := number(value)
		if err != nil {
			return nil, errors.New("desired=N, with N from 0")
		}
		return Desired{VMs: n}, nil
	case wordTemplate:
		if value == "" {
			return nil, errors.New("template=NAME")
		}
		return Template{Name: value}, nil
	case wordVM:
		return parseVM(value)
	case wordRefresh:
		switch value {
		case wordDone:
			return Refresh{}, nil
		case wordCanary:
			return Canary{}, nil
		}
		return nil, errors.New("refresh=done or refresh=canary")
	}
	words := []string{wordStable, wordReady, wordDesired, wordTemplate, wordVM, wordRefresh}
	return nil, fmt.Errorf("one such as %s%s", strings.Join(Forms(), ", "), nearest.Hint(word, words))
}

func parseVM(value string) (Condition, error) {
	states := []string{wordGone}
	for _, p := range bus.Phases() {
		states = append(states, string(p))
	}
	at := strings.LastIndex(value, ":")
	if at < 1 {
		return nil, fmt.Errorf("vm=NAME:STATE with one of %s", strings.Join(states, ", "))
	}
	name, state := value[:at], value[at+1:]
	if !slices.Contains(states, state) {
		return nil, fmt.Errorf("one of %s after the VM's name%s", strings.Join(states, ", "), nearest.Hint(state, states))
	}
	if state == wordGone {
		return Gone{VM: name}, nil
	}
	return Phase{VM: name, Phase: bus.Phase(state)}, nil
}

// number reads a whole number from 0.
func number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && (n < 0 || strconv.Itoa(n) != text) {
		err = strconv.ErrSyntax
	}
	return n, err
}
