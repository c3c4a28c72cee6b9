package install

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/template"
	"time"

	"github.com/goccy/go-yaml"
)

// Step waits for what the console prints, and types something then.
type Step struct {
	Name    string
	Title   string // by which an error names it
	Expect  *regexp.Regexp
	Fail    *regexp.Regexp // what says that it has failed; nil: nothing does
	Send    *string        // without the Enter that follows it; nil: nothing is typed, nor Enter
	Timeout time.Duration
	Also    []Answer // to questions that may come before
}

// Answer is what is typed when a question comes, each time.
type Answer struct {
	Expect *regexp.Regexp
	Send   string
}

// Vars are what a script can name: {{.Hostname}}, {{.SSHKey}}, {{.RootPassword}}, each "" where it was not given, and {{quote X}}
// for a word of a shell.
type Vars struct{ Hostname, SSHKey, RootPassword string }

// Bounds of a script.
const (
	MaxScript      = 256 << 10 // bytes
	mostSteps      = 500
	defaultTimeout = 2 * time.Minute
	longestTimeout = 6 * time.Hour
)

//go:embed alpine.yaml
var alpine []byte

// Alpine is the script that installs Alpine Linux from its "virt" medium.
func Alpine(vars Vars) ([]Step, error) { return Parse("the script for Alpine", alpine, vars) }

type stepYAML struct {
	Name    string       `yaml:"name"`
	Expect  string       `yaml:"expect"`
	Fail    string       `yaml:"fail"`
	Send    *string      `yaml:"send"`
	Timeout string       `yaml:"timeout"`
	Also    []answerYAML `yaml:"also"`
}

type answerYAML struct {
	Expect string `yaml:"expect"`
	Send   string `yaml:"send"`
}

// Parse reads a script, a YAML list of steps; name is for errors. All that is wrong with it is said at once.
func Parse(name string, text []byte, vars Vars) ([]Step, error) {
	if len(text) > MaxScript {
		return nil, fmt.Errorf("%s: found %d bytes, want at most %d", name, len(text), MaxScript)
	}
	var raw []stepYAML
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&raw); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: want a list of steps with name, expect, fail, send, timeout, also: %s",
			name, yaml.FormatError(err, false, false))
	}
	if len(raw) == 0 || len(raw) > mostSteps {
		return nil, fmt.Errorf("%s: found %d steps, want 1 to %d", name, len(raw), mostSteps)
	}
	var steps []Step
	var problems []error
	for i, r := range raw {
		s, wrong := r.step(vars)
		numbered := fmt.Sprintf("step %d", i+1)
		if s.Title = fmt.Sprintf("step %q", s.Name); s.Name == "" {
			s.Name, s.Title = numbered, numbered
		} else {
			numbered += " (" + s.Name + ")"
		}
		for _, err := range wrong {
			problems = append(problems, fmt.Errorf("%s: %s: %w", name, numbered, err))
		}
		steps = append(steps, s)
	}
	return steps, errors.Join(problems...)
}

// flags make ^ and $ those of lines. They are of no interest to who reads an error.
const flags = "(?m)"

// step also returns all that is wrong with it.
func (r stepYAML) step(vars Vars) (s Step, problems []error) {
	s = Step{Name: r.Name, Timeout: defaultTimeout}
	compile := func(field, pattern string) *regexp.Regexp {
		if _, err := regexp.Compile(pattern); err != nil {
			problems = append(problems, fmt.Errorf("%s: found %q, want a regular expression: %w", field, pattern, err))
			return nil
		}
		re, err := regexp.Compile(flags + pattern)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", field, err))
		}
		return re
	}
	if s.Expect = compile("expect", r.Expect); r.Expect == "" {
		problems = append(problems, errors.New("expect: found nothing, want a regular expression"))
	}
	if r.Fail != "" {
		s.Fail = compile("fail", r.Fail)
	}
	if r.Timeout != "" {
		var err error
		if s.Timeout, err = time.ParseDuration(r.Timeout); err != nil || s.Timeout < time.Second || s.Timeout > longestTimeout {
			problems = append(problems, fmt.Errorf("timeout: found %q, want 1s to %s", r.Timeout, longestTimeout))
		}
	}
	if r.Send != nil {
		send, err := expand(*r.Send, vars)
		if err != nil {
			problems = append(problems, fmt.Errorf("send: %w", err))
		}
		s.Send = &send
	}
	for _, a := range r.Also {
		if a.Expect == "" {
			problems = append(problems, errors.New("also: expect: found nothing, want a regular expression"))
		}
		send, err := expand(a.Send, vars)
		if err != nil {
			problems = append(problems, fmt.Errorf("also: send: %w", err))
		}
		s.Also = append(s.Also, Answer{compile("also: expect", a.Expect), send})
	}
	return s, problems
}

// expand fills variables into what is typed.
func expand(text string, vars Vars) (string, error) {
	t, err := template.New("send").Funcs(template.FuncMap{"quote": quote}).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if err := t.Execute(&out, vars); err != nil {
		return "", err
	}
	typed := strings.TrimSuffix(out.String(), "\n") // of YAML's block; Enter follows
	if strings.ContainsFunc(typed, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }) {
		return "", fmt.Errorf("found a control character in %q, want text", typed)
	}
	return typed, nil
}

// quote is a word for a shell.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
