package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// echo is a console that says everything twice that is typed, and "off" ends it.
type echo struct{ said chan []byte }

func (e echo) Read(ctx context.Context, buf []byte) (int, error) {
	select {
	case said, more := <-e.said:
		if !more {
			return 0, io.EOF
		}
		return copy(buf, said), nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (e echo) Write(_ context.Context, data []byte) error {
	if string(data) == "off" {
		close(e.said)
		return nil
	}
	e.said <- slices.Concat(data, data)
	return nil
}

// What is typed goes to the VM and what it prints comes back, until the person leaves, also in the middle of a paste, or the
// console ends. The leaving key is not for the VM, nor what comes after it.
func TestAttach(t *testing.T) {
	for name, tt := range map[string]struct {
		typed []string
		shown string
		why   string
	}{
		"left":            {[]string{"ls\r", "\x1d"}, "ls\rls\r", "left its console"},
		"left in a paste": {[]string{"a", "b\x1drm -rf /\r"}, "aa", "left its console"},
		"off":             {[]string{"x", "off"}, "xx", "its console has ended"},
		"end of input":    {[]string{"x"}, "xx", "left its console"},
	} {
		in, typist := io.Pipe()
		var out bytes.Buffer
		shown := make(chan struct{}, 16)
		go func() {
			for i, s := range tt.typed {
				_, _ = io.WriteString(typist, s)
				if i == 0 {
					<-shown // so that it is not over before
				}
			}
			_ = typist.Close()
		}()
		why, err := attach(t.Context(), echo{make(chan []byte, 16)}, in, tell{&out, shown})
		if err != nil || !strings.HasPrefix(why, tt.why) || !strings.HasPrefix(out.String(), tt.shown) ||
			strings.Contains(out.String(), "rm") {
			t.Errorf("%s: %q, %v, shown %q", name, why, err, out.String())
		}
		_ = in.Close()
	}
}

// tell tells of each writing.
type tell struct {
	io.Writer
	written chan<- struct{}
}

func (t tell) Write(data []byte) (int, error) {
	n, err := t.Writer.Write(data)
	t.written <- struct{}{}
	return n, err
}

// Nothing of ssh's command line is a guest's word but an address.
func TestSSHLine(t *testing.T) {
	for want, line := range map[string][]string{
		"ssh -o HostKeyAlias=u -p 22 192.0.2.7": sshLine(netip.MustParseAddrPort("192.0.2.7:22"), "u", "", nil),
		"ssh -o HostKeyAlias=u -p 2022 -l -x fd00::1 -v w": sshLine(netip.MustParseAddrPort("[fd00::1]:2022"), "u", "-x",
			[]string{"-v", "w"}),
	} {
		if got := strings.Join(line, " "); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
}

// An end with an exit code of its own has that one, and is silent where there is nothing to say.
func TestExitErrors(t *testing.T) {
	for err, want := range map[error]int{
		&exitError{code: 42}:                                   42,
		&exitError{exitNotRun, errors.New("no")}:               exitNotRun,
		fmt.Errorf("x: %w", &exitError{code: exitTookTooLong}): exitTookTooLong,
		usageError{&exitError{code: 9}}:                        exitUsage,
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
	}
	if err := error(&exitError{exitNotRun, context.Canceled}); !errors.Is(err, context.Canceled) {
		t.Error("what has ended it is not known")
	}
}
