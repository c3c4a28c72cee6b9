package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/vmscaler/vmscaler/actuator/orphan"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/shell"
	"github.com/vmscaler/vmscaler/dashboard/notify"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// Config is what a file says, with defaults where it says nothing. Start from [Default], [Load] or [Parse].
type Config struct {
	// Path is the file's name as it was given; "" if there is none and all are defaults.
	Path string
	// Named is that the file was named, and does not just lie in the current folder.
	Named bool
	// LibvirtURI names the libvirt daemon, such as qemu:///system. "" means that the caller chooses one.
	LibvirtURI string
	// Acceleration is "auto" (KVM if the host has it), "kvm" or "qemu" (emulation).
	Acceleration string
	// Pool is the libvirt storage pool of the templates, DiskPool that of the VMs' volumes; "" is the same.
	Pool, DiskPool string
	// BusListen is the embedded NATS server's HOST:PORT, on loopback unless BusCert is set. It is "" exactly if BusURL
	// is set.
	BusListen string
	// BusTaps is whether the embedded server lets clients of this machine in without credentials, Yes or No.
	BusTaps string
	// BusURL is the NATS server to join in place of an embedded one, or several with commas between. It may hold a
	// password.
	BusURL string
	// BusNkey and BusCreds are files with the credentials for BusURL, BusCA one with the certificates that its server's
	// must be from. BusCert and BusKey are the embedded server's certificate and key, or the client's own for BusURL.
	BusNkey, BusCreds, BusCA, BusCert, BusKey string
	// BusCluster is how the embedded server is one of three; it is alone where that has no members.
	BusCluster BusCluster
	// StateDir is the folder of the embedded server's history and credentials. "" means the user's usual one.
	StateDir string
	// HTTPListen is the HOST:PORT where metrics and health checks are served, or HTTPOff.
	HTTPListen string
	// HTTPCert and HTTPKey are files with the certificate and key that it is served with; "": not encrypted.
	HTTPCert, HTTPKey string
	// Notify are those who are told of chosen events; each has a name of its own.
	Notify []notify.Target
	// TemplateListen is the HOST:PORT where other hosts get templates from this one, TemplatesOff, or TemplatesAuto; see
	// [Config.TemplateExchange].
	TemplateListen string
	// Host is what new VMs must leave of each host.
	Host HostLimits
	// Domain is what this host fails together with, such as a rack; "": it is not said.
	Domain string
	// SweepGrace is how long an orphaned volume of ours is left before it is deleted, 1 s to 24 h.
	SweepGrace time.Duration
	// Tick is how often the VMs' CPU is sampled, 100 ms to 60 s.
	Tick time.Duration
	// Groups has at least one group, each with a name of its own.
	Groups []bus.Group

	lines map[string]position // where each field is in the file
}

// BusCluster is how the embedded server is one of three that are one bus.
type BusCluster struct {
	Members string // HOST:PORT of each for the others, with commas between; "": it is alone
	Name    string // its own among the three
	Listen  string // HOST:PORT where it takes the other members' connections
	CA      string // file with the certificates that the members' must be from; "": all are on loopback
}

// What a switch of the file is set to; flags and variables say it in the same words.
const (
	Yes = "true"
	No  = "false"
)

// Default is the configuration without a file.
func Default() Config {
	return Config{
		Acceleration: "auto",
		Pool:         "vmscaler",
		BusListen:    bus.DefaultListen,
		BusTaps:      Yes,
		HTTPListen:   DefaultHTTP,
		Host:         DefaultHostLimits(), TemplateListen: TemplatesAuto,
		SweepGrace: orphan.DefaultGrace,
		Tick:       time.Second,
		Groups:     []bus.Group{bus.DefaultGroup()},
	}
}

// Load reads the file at path; "" means [Default]. The error is [Problems] if the file was read and is wrong, beside
// what of it is right (see [Parse]). A file that does not exist gives an error that is fs.ErrNotExist.
func Load(path string) (Config, []Warning, error) {
	if path == "" {
		return Default(), nil, nil
	}
	data, err := read(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("read the configuration: %w", err)
	}
	cfg, warnings, err := Parse(path, data)
	cfg.Named = true
	return cfg, warnings, err
}

// Advice is a text that advises a command in backquotes, for the same file as this config's.
func (c Config) Advice(text string) string {
	before, command, _ := strings.Cut(text, "`")
	command, after, is := strings.Cut(command, "`")
	if !c.Named || !is {
		return text
	}
	return before + "`" + command + " -c " + shell.Quote(c.Path) + "`" + after
}

// read waits for no FIFO and reads no device, neither of which has to end.
func read(path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	return readAll(f)
}

func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: write the settings to one", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readAll stops soon after maxFile bytes, and closes the file.
func readAll(f *os.File) (data []byte, err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// Parse reads a file's content; name is what problems call it. The error is always [Problems] or nil. With problems
// the Config is only good for looking for more of them: a field that has one keeps its default, and there are no
// groups where they could not be read. Warnings are only looked for when there are no problems.
func Parse(name string, data []byte) (Config, []Warning, error) {
	cfg := Default()
	cfg.Path = name
	d := decoder{file: name, lines: map[string]position{}}
	if body := d.document(data); body != nil {
		d.config(&cfg, body)
	}
	if len(d.problems) > 0 {
		d.problems.sort()
		if d.bad("") || d.bad("groups") {
			cfg.Groups = nil
		}
		cfg.lines = d.lines
		return cfg, nil, d.problems
	}
	cfg.lines = d.lines
	return cfg, cfg.warnings(time.Now()), nil
}

func (c Config) warnings(now time.Time) []Warning {
	var warnings []Warning
	for i, g := range c.Groups {
		warnings = append(warnings, c.overdue(i, now)...)
		warnings = append(warnings, c.withoutEffect(i)...)
		if least := g.Floor(bus.Controls{}); g.IdleToZero > 0 && least > 0 {
			field := fmt.Sprintf("groups[%d].idle_to_zero", i)
			warnings = append(warnings, Warning{
				File: c.Path, Line: c.Line(field), Field: field, Remedy: "use min: 0",
				Text: fmt.Sprintf("the last VM never goes, as min is %d at all times", least),
			})
		}
		if w, flaps := g.Flaps(); flaps {
			field := fmt.Sprintf("groups[%d].policy.lower", i)
			warnings = append(warnings, Warning{File: c.Path, Line: c.Line(field), Field: field, Text: w.Why, Remedy: w.Remedy})
		}
	}
	return warnings
}

// overdue are the actions of a group's schedule that are not due any more.
func (c Config) overdue(i int, now time.Time) (warnings []Warning) {
	timetable, err := schedule.New(c.Groups[i].Schedule)
	if err != nil {
		return nil // which is a problem
	}
	for _, m := range timetable.Over(now) {
		field, last := fmt.Sprintf("groups[%d].schedule[%d].at", i, m.Index), m.Time.Format("2006-01-02 15:04 MST")
		w := Warning{
			File: c.Path, Line: c.Line(field), Field: field,
			Text:   fmt.Sprintf("it was due on %s for the last time, and sets nothing any more", last),
			Remedy: "take it out, or give it another date",
		}
		if timetable.Holds(m.Index, now) {
			w.Text = fmt.Sprintf("it was due on %s for the last time, and its min or max holds since", last)
			w.Remedy = "put it into the group's own min or max, or add an action that ends it"
		}
		warnings = append(warnings, w)
	}
	return warnings
}

// Disks is the storage pool of the VMs' volumes.
func (c Config) Disks() string { return cmp.Or(c.DiskPool, c.Pool) }

// Line is where a field, such as "groups[0].network", is in the file. If it is not there, it is the line of the
// section that it would belong to; 0 if that is not there either.
func (c Config) Line(field string) int { return locate(c.lines, field).line }

// Problem is a problem that only a later check can find, such as a network that does not exist. Put it, or
// several, into [Problems] to get an error that reads like those of the file itself.
func (c Config) Problem(field, found, allowed string) Problem {
	at := locate(c.lines, field)
	return Problem{File: c.Path, Line: at.line, Column: at.column, Field: field, Found: found, Allowed: allowed}
}

// Warning is one about a field, with its line.
func (c Config) Warning(field, text, remedy string) Warning {
	return Warning{File: c.Path, Line: locate(c.lines, field).line, Field: field, Text: text, Remedy: remedy}
}

// YAML is the configuration as a file that [Parse] reads back to the same values, every field with its value. It
// shows a password in BusURL.
func (c Config) YAML() []byte {
	return []byte(strings.Join(configFields(&c).lines(), "\n") + "\n")
}
