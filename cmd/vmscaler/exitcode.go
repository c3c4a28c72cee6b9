package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/nats-io/nats.go"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/console"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// The exit codes; docs/running.md has them for those who call this program from scripts.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2 // a wrong command line, or one that names what does not exist
	exitRefused = 3 // as things are now it is not done
	exitTimeout = 4 // what was waited for has not come in time
	exitNobody  = 5 // nobody is there to answer
	exitDenied  = 6 // these credentials, or this user, may not do it
)

// exitCodes are all of them, with the words of the root command's help.
func exitCodes() []string {
	return []string{
		exitDone:    "done",
		exitFailed:  "failed",
		exitUsage:   "wrong command line",
		exitRefused: "refused, as things are now",
		exitTimeout: "timed out",
		exitNobody:  "nobody answers",
		exitDenied:  "not permitted",
	}
}

// exitError is an end with an exit code of its own. One without an error says nothing.
type exitError struct {
	code int
	error
}

func (e *exitError) Error() string {
	if e.error == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.error.Error()
}

func (e *exitError) Unwrap() error { return e.error }

// refused is that something is not done, as things are now.
func refused(format string, args ...any) error {
	return withCode(exitRefused, fmt.Errorf(format, args...))
}

// unknown is that what a command line names does not exist.
func unknown(format string, args ...any) error {
	return withCode(exitUsage, fmt.Errorf(format, args...))
}

// withCode gives an error an exit code that its type does not say.
func withCode(code int, err error) error { return &exitError{code, err} }

// exitCode is the one of a command that ended with err.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	var own *exitError
	var refused *bus.RefusedError
	switch {
	case is[usageError](err), is[*vm.UnknownError](err), errors.Is(err, template.ErrNotFound):
		return exitUsage
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &refused):
		return exitCodeOf(refused.Code)
	case isDenied(err):
		return exitDenied
	case is[*notRunningError](err), is[*app.NoBusError](err), is[*client.NobodyError](err), is[*client.SilentError](err),
		errors.Is(err, host.ErrDown):
		return exitNobody
	case is[*host.LockedError](err), is[*host.SecondSetError](err), is[*server.StateLockedError](err),
		is[*template.InUseError](err), errors.Is(err, template.ErrExists), errors.Is(err, console.ErrTaken),
		errors.Is(err, console.ErrNoScreen):
		return exitRefused
	}
	return exitFailed
}

// exitCodeOf is that of a request that was refused.
func exitCodeOf(code bus.RefusalCode) int {
	switch code {
	case bus.RefusedMalformed, bus.RefusedUnknown:
		return exitUsage
	case bus.RefusedState:
		return exitRefused
	case bus.RefusedBusy:
		return exitNobody
	case bus.RefusedTooBig, bus.RefusedFailed:
		return exitFailed
	}
	return exitFailed // of a later version
}

// isDenied reports whether the rights were missing: on the bus, at libvirt, or to a file.
func isDenied(err error) bool {
	if is[*app.NeedCredentialsError](err) || is[*client.DeniedError](err) {
		return true
	}
	for _, kind := range []error{
		host.ErrPermission, fs.ErrPermission, nats.ErrAuthorization, nats.ErrPermissionViolation,
		libvirt.ERR_ACCESS_DENIED, libvirt.ERR_AUTH_FAILED, libvirt.ERR_AUTH_UNAVAILABLE, libvirt.ERR_AUTH_CANCELLED,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// is reports whether an error is of a type, or wraps one of it.
func is[T error](err error) bool {
	var as T
	return errors.As(err, &as)
}
