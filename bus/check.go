package bus

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CheckType is what a check looks at.
type CheckType string

// The types of checks.
const (
	CheckAgent     CheckType = "agent"      // the guest agent answers
	CheckLease     CheckType = "lease"      // the VM has a DHCP lease from libvirt's network
	CheckAddress   CheckType = "address"    // the VM has an IP address, from a lease or from its agent
	CheckCommand   CheckType = "command"    // a program in the guest, run by its agent, ends with status 0
	CheckTCP       CheckType = "tcp"        // a port of the VM takes a connection
	CheckHTTP      CheckType = "http"       // a web server in the VM answers as expected
	CheckCloudInit CheckType = "cloud-init" // cloud-init has finished without an error
)

// CheckTypes are the types of checks.
func CheckTypes() []CheckType {
	return []CheckType{CheckAgent, CheckLease, CheckAddress, CheckCommand, CheckTCP, CheckHTTP, CheckCloudInit}
}

// CheckFor is what a check is used for.
type CheckFor string

// The uses of a check.
const (
	CheckForBoth   CheckFor = "both"   // a VM becomes ready only with it, and later must go on passing it
	CheckForReady  CheckFor = "ready"  // only until the VM is ready
	CheckForHealth CheckFor = "health" // only once the VM is ready
)

// CheckFors are the uses of a check.
func CheckFors() []CheckFor { return []CheckFor{CheckForBoth, CheckForReady, CheckForHealth} }

// Scheme is the protocol of a check of type http.
type Scheme string

// The schemes.
const (
	SchemeHTTP  Scheme = "http"
	SchemeHTTPS Scheme = "https"
)

// Statuses are HTTP statuses from one to another, both included.
type Statuses struct {
	From int `json:"from"`
	To   int `json:"to"`
}

func (s Statuses) String() string {
	if s.From == s.To {
		return strconv.Itoa(s.From)
	}
	return fmt.Sprintf("%d-%d", s.From, s.To)
}

// Check is one of the checks of a group's VMs. Zero values are not defaults: see [Check.WithDefaults].
type Check struct {
	Type CheckType `json:"type"`
	For  CheckFor  `json:"for"`
	// Timeout is how long one try may take, Interval the time from the begin of one to the next once the VM is ready.
	Timeout  time.Duration `json:"timeout"`
	Interval time.Duration `json:"interval"`
	// So many tries in a row must fail until a VM that is ready counts as failing, and so many pass until it does not any
	// more, or until the check is passed before the VM is ready.
	Failures  int `json:"failures"`
	Successes int `json:"successes"`
	// Grace is the time after a VM became ready in which a try that fails does not count.
	Grace time.Duration `json:"grace"`

	Command  []string   `json:"command,omitempty"` // with CheckCommand: the program and its arguments
	Port     int        `json:"port,omitempty"`    // with CheckTCP and CheckHTTP
	Scheme   Scheme     `json:"scheme,omitempty"`  // with CheckHTTP, as all that follow
	Path     string     `json:"path,omitempty"`
	Host     string     `json:"host,omitempty"`     // of the request's header, and of the certificate; "": the address
	Status   []Statuses `json:"status,omitempty"`   // those that are well
	Body     string     `json:"body,omitempty"`     // what the answer must contain in its first 64 KiB; "": anything
	Insecure bool       `json:"insecure,omitempty"` // any certificate will do
}

// WithDefaults is the check with defaults where it says nothing.
func (c Check) WithDefaults() Check {
	if c.Type == CheckCloudInit {
		orElse(&c.For, CheckForReady)
		orElse(&c.Timeout, 5*time.Minute)
	}
	orElse(&c.For, CheckForBoth)
	orElse(&c.Timeout, 5*time.Second)
	orElse(&c.Interval, 5*time.Second)
	orElse(&c.Failures, 3)
	orElse(&c.Successes, 1)
	if c.Type == CheckHTTP {
		orElse(&c.Scheme, SchemeHTTP)
		port := 80
		if c.Scheme == SchemeHTTPS {
			port = 443
		}
		orElse(&c.Port, port)
		orElse(&c.Path, "/")
		if len(c.Status) == 0 {
			c.Status = []Statuses{{200, 299}}
		}
	}
	return c
}

func orElse[T comparable](p *T, otherwise T) {
	var unset T
	if *p == unset {
		*p = otherwise
	}
}

// ForReady reports whether a VM must pass the check to become ready, and ForHealth whether it must go on passing it.
func (c Check) ForReady() bool { return c.For == CheckForBoth || c.For == CheckForReady }

// ForHealth is said at ForReady.
func (c Check) ForHealth() bool { return c.For == CheckForBoth || c.For == CheckForHealth }

// Reaches reports whether the check connects to a port of the VM.
func (c Check) Reaches() bool { return c.Type == CheckTCP || c.Type == CheckHTTP }

// AsksGuest reports whether the check asks the guest agent, of which few may be asked at a time.
func (c Check) AsksGuest() bool {
	return c.Type == CheckAgent || c.Type == CheckAddress || c.Type == CheckCommand || c.Type == CheckCloudInit
}

// Wants reports whether an HTTP status counts as healthy.
func (c Check) Wants(status int) bool {
	return slices.ContainsFunc(c.Status, func(s Statuses) bool { return s.From <= status && status <= s.To })
}

// maxCheckName is how much of a command, a path or a host is in a check's name, in bytes.
const maxCheckName = 60

// String is the check's name for people, such as "http :8080/healthz". It is one harmless line.
func (c Check) String() string {
	name := string(c.Type)
	switch c.Type {
	case CheckCommand:
		command := c.Command
		if line, is := c.ShellLine(); is {
			command = []string{line}
		}
		name += " " + strings.Join(command, " ")
	case CheckTCP:
		name += " :" + strconv.Itoa(c.Port)
	case CheckHTTP:
		name = fmt.Sprintf("%s %s%s", c.Scheme, net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), c.Path)
	case CheckAgent, CheckLease, CheckAddress, CheckCloudInit:
	}
	return Clip(Line(name), maxCheckName)
}

// shell runs a command that is given as a line.
var shell = [...]string{"/bin/sh", "-c"}

// ShellCommand is the command that has a guest's shell run a line.
func ShellCommand(line string) []string { return append(shell[:len(shell):len(shell)], line) }

// ShellLine is the line of a command that was made by ShellCommand.
func (c Check) ShellLine() (line string, is bool) {
	if len(c.Command) != len(shell)+1 || !slices.Equal(c.Command[:len(shell)], shell[:]) {
		return "", false
	}
	return c.Command[len(shell)], true
}

// MaxChecks is how many checks a group may have.
const MaxChecks = 16
