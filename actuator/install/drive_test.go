package install

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// fakeTerminal prints a piece at each read, and then waits or is off.
type fakeTerminal struct {
	pieces []string
	off    bool
	typed  []string
}

func (f *fakeTerminal) Read(ctx context.Context, buf []byte) (int, error) {
	if len(f.pieces) == 0 {
		if f.off {
			return 0, io.EOF
		}
		<-ctx.Done()
		return 0, context.Cause(ctx)
	}
	n := copy(buf, f.pieces[0])
	f.pieces = f.pieces[1:]
	return n, nil
}

func (f *fakeTerminal) Write(_ context.Context, data []byte) error {
	f.typed = append(f.typed, string(data))
	return nil
}

func TestDrive(t *testing.T) {
	quick, err := Parse("script", []byte(strings.Replace(script, "- expect: 'login", "- timeout: 1s\n  expect: 'login", 1)), Vars{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		terminal *fakeTerminal
		steps    []Step
		said     []string
		want     string
	}{
		"to its end": {
			&fakeTerminal{pieces: []string{"login: ", "Done.", "off in 3 s"}}, steps(t), []string{"step 1", "ask", "end"}, "",
		},
		"in one read": {&fakeTerminal{pieces: []string{"login: ", "Done.\noff in 3 s"}}, steps(t), []string{"step 1", "ask"}, ""},
		"too late": {
			&fakeTerminal{pieces: []string{"GRUB\r\n"}}, quick,
			[]string{"step 1"},
			`step 1: nothing that matches "login: $" came within 1s`,
		},
		"silent": {
			&fakeTerminal{}, quick, []string{"step 1"}, "came within 1s\nthe serial console (ttyS0) has said nothing",
		},
		"off": {&fakeTerminal{pieces: []string{"login: ", "ok"}, off: true}, steps(t), []string{"step 1", "ask"}, "went off"},
		"fails": {
			&fakeTerminal{pieces: []string{"login: ", "error: full"}}, steps(t),
			[]string{"step 1", "ask"},
			`step "ask": it says "error: full"`,
		},
	} {
		var said []string
		err := drive(t.Context(), tt.terminal, NewPlayer(tt.steps), func(step string) { said = append(said, step) })
		var failed *StepError
		if !slices.Equal(said, tt.said) || (tt.want == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), tt.want) ||
			!errors.As(err, &failed) || (len(failed.Tail) == 0) != (name == "silent")) {
			t.Errorf("%s: said %q, %v; want %q, %q", name, said, err, tt.said, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := drive(ctx, &fakeTerminal{}, NewPlayer(steps(t)), func(string) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}
