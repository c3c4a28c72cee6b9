package trial

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Level is how good something is.
type Level string

// The levels. Only Fail means that VMs of the template will not work.
const (
	OK      Level = "ok"
	Warn    Level = "warn"
	Fail    Level = "fail"
	Unknown Level = "unknown" // it could not be asked
)

// Line is one thing that was looked at.
type Line struct {
	What   string `json:"what"`
	Level  Level  `json:"level"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"` // in the image, where it says nothing else
}

// Judge reports what the facts of the clones mean for a group of them. The lines are in the order in which a person would look.
func Judge(clones []Facts, spec bus.Group) []Line {
	j := judge{clones: clones, spec: spec}
	return []Line{
		j.boots(), j.console(), j.agent(), j.bootTime(), j.idle(), j.address(), j.shutdown(),
		j.hosts(), j.machineIDs(), j.keys(), j.logins(), j.cloud(),
	}
}

// Failed reports whether VMs of the template will not work.
func Failed(lines []Line) bool {
	return slices.ContainsFunc(lines, func(l Line) bool { return l.Level == Fail })
}

type judge struct {
	clones []Facts
	spec   bus.Group
}

// every reports whether something holds for all clones.
func (j judge) every(holds func(Facts) bool) bool {
	return len(j.clones) > 0 && !slices.ContainsFunc(j.clones, func(f Facts) bool { return !holds(f) })
}

// each is a text of each clone.
func (j judge) each(text func(Facts) string) string {
	var texts []string
	for _, f := range j.clones {
		texts = append(texts, text(f))
	}
	return strings.Join(texts, ", ")
}

// alive reports whether anything was heard of a guest.
func alive(f Facts) bool { return f.Ready != "" || f.Agent || f.Console > 0 || f.Address != "" }

func (j judge) boots() Line {
	l := Line{What: "boots", Level: OK}
	var problems []string
	for _, f := range j.clones {
		switch {
		case f.Ready != "":
		case alive(f):
			problems = append(problems, f.NotReady)
			if l.Level == OK {
				l.Level = Warn
			}
		default:
			l.Level = Fail
			problems = append(problems, f.NotReady+"; nothing was heard of it")
		}
	}
	if l.Level == OK {
		l.Text = j.clones[0].Ready
		if firmware := j.clones[0].Guest.Firmware; firmware != "" {
			l.Text += ", booted by " + strings.ToUpper(firmware)
		}
		return l
	}
	l.Text = strings.Join(problems, "; ")
	l.Remedy = "look at its console (`virsh console`) while a VM of it boots; an image may need the other firmware, or " +
		"virtio drivers"
	return l
}

func (j judge) console() Line {
	l := Line{What: "console", Level: OK, Text: "writes to its serial console"}
	if !j.every(func(f Facts) bool { return f.Console > 0 }) {
		l.Level, l.Text = Warn, "nothing came on the serial console"
		l.Remedy = "add console=ttyS0 to the kernel's command line: else nobody sees why a VM does not boot"
	}
	return l
}

func (j judge) agent() Line {
	l := Line{What: "agent", Level: OK, Text: "its guest agent answers"}
	if !j.every(func(f Facts) bool { return f.Agent }) {
		l.Level, l.Text = Warn, "no guest agent answered"
		l.Remedy = "install and enable qemu-guest-agent; or use ready_when: lease or uptime"
		return l
	}
	for _, f := range j.clones {
		if !f.Guest.Asked {
			l.Text = "its guest agent answers, but the guest could not be asked: " + bus.Clip(f.Guest.Unasked, bus.MaxLogText)
			break
		}
	}
	return l
}

func (j judge) bootTime() Line {
	l := Line{What: "boot time", Level: OK}
	if !j.every(func(f Facts) bool { return f.Ready != "" }) {
		l.Level, l.Text = Unknown, "it was not ready"
		return l
	}
	slowest := time.Duration(0)
	for _, f := range j.clones {
		slowest = max(slowest, f.BootTime)
	}
	l.Text = j.each(func(f Facts) string { return seconds(f.BootTime) }) + " with both at once"
	if slowest > j.spec.BootTimeout/2 {
		l.Level = Warn
		l.Remedy = fmt.Sprintf("more than half of boot_timeout (%s), and a busy host is slower: raise boot_timeout", j.spec.BootTimeout)
	}
	return l
}

// busyIdle is from how much CPU in percent a guest at rest is not idle for a group with the default policy: below its lower
// threshold it must have room for some load.
const busyIdle = 10

func (j judge) idle() Line {
	l := Line{What: "idle CPU", Level: OK}
	if !j.every(func(f Facts) bool { return f.Idle != nil }) {
		l.Level, l.Text = Unknown, "it was not measured"
		return l
	}
	most := 0.0
	for _, f := range j.clones {
		most = max(most, *f.Idle)
	}
	l.Text = j.each(func(f Facts) string { return fmt.Sprintf("%.1f %%", *f.Idle) })
	if most >= busyIdle {
		l.Level = Warn
		l.Remedy = fmt.Sprintf("look what runs in it; a group with lower (%g %%) near that is not scaled in",
			j.spec.Policy.LowerPercent)
	}
	return l
}

func (j judge) address() Line {
	l := Line{What: "address", Level: OK, Text: j.each(func(f Facts) string { return orNone(f.Address) })}
	known := map[string]bool{}
	for _, f := range j.clones {
		if f.Address == "" {
			l.Level = Warn
			l.Remedy = "let it ask for an address by DHCP on its first network card (virtio); nobody reaches it without one"
			return l
		}
		known[f.Address] = true
	}
	switch {
	case len(known) == len(j.clones):
	case j.spec.Network == bus.UserNetwork:
		l.Text = j.clones[0].Address + ", each on a network of its own"
	default:
		l.Level = Fail
		l.Remedy = "have it ask for its address by DHCP, with its MAC address as client id, instead of a fixed one"
	}
	return l
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func (j judge) shutdown() Line {
	l := Line{What: "shutdown", Level: OK}
	switch {
	case !j.every(func(f Facts) bool { return f.Pressed }):
		l.Level, l.Text = Unknown, "it was not tried"
	case !j.every(func(f Facts) bool { return f.Off != nil }):
		l.Level = Fail
		l.Text = fmt.Sprintf("the power button (ACPI) did not shut it down within %s", j.spec.ShutdownTimeout)
		l.Remedy = "install acpid or systemd-logind, or raise shutdown_timeout: each VM is cut off after it"
	default:
		l.Text = "the power button (ACPI) shuts it down in " + j.each(func(f Facts) string { return seconds(*f.Off) })
	}
	return l
}

// distinct judges something that each clone must have for itself.
func (j judge) distinct(what string, of func(Guest) string, remedy string) Line {
	l := Line{What: what, Level: OK}
	values := map[string]bool{}
	for _, f := range j.clones {
		if !f.Guest.Asked {
			l.Level, l.Text = Unknown, "the guest cannot be asked"
			return l
		}
		values[of(f.Guest)] = true
	}
	switch {
	case values[""]:
		l.Level, l.Text = Unknown, "the guest does not say"
	case len(values) < len(j.clones):
		l.Level, l.Text, l.Remedy = Fail, "both have the same: "+bus.Clip(of(j.clones[0].Guest), 80), remedy
	default:
		l.Text = "each has its own"
	}
	return l
}

func (j judge) hosts() Line {
	l := j.distinct("host name", func(g Guest) string { return g.Host },
		"install cloud-init, or have a script take the name from the SMBIOS serial number (ds=nocloud;h=NAME;i=ID)")
	if l.Level == OK && j.every(func(f Facts) bool { return f.Guest.Host == f.Name }) {
		l.Text = "each has its VM's name"
	}
	return l
}

func (j judge) machineIDs() Line {
	return j.distinct("machine id", func(g Guest) string { return g.MachineID },
		"empty it in the image: truncate -s 0 /etc/machine-id; a new one is made at the first boot, and leases of DHCP go by it")
}

func (j judge) keys() Line {
	const what = "SSH keys"
	if j.every(func(f Facts) bool { return f.Guest.Asked && len(f.Guest.Keys) == 0 }) {
		return Line{What: what, Level: OK, Text: "there are no SSH host keys"}
	}
	seen := map[string]bool{}
	for _, f := range j.clones {
		if !f.Guest.Asked {
			return Line{What: what, Level: Unknown, Text: "the guest cannot be asked"}
		}
		for _, key := range f.Guest.Keys {
			if seen[key] {
				kind, _, _ := strings.Cut(key, " ")
				return Line{
					What: what, Level: Fail, Text: "both have the same SSH host key: " + bus.Clip(kind, 40),
					Remedy: "remove them in the image (rm /etc/ssh/ssh_host_*), and have them made at the first boot, as by cloud-init",
				}
			}
			seen[key] = true
		}
	}
	return Line{What: what, Level: OK, Text: "each has its own SSH host keys"}
}

// logins are the keys in the image that users may log in with, but for those that the group gives its VMs itself.
func (j judge) logins() Line {
	l := Line{What: "login keys", Level: OK, Text: "it carries none"}
	counts, files := map[string]int{}, []string{}
	for _, f := range j.clones {
		if !f.Guest.Asked {
			l.Level, l.Text = Unknown, "the guest cannot be asked"
			return l
		}
	}
	for _, one := range j.clones[0].Guest.Logins {
		if j.given(one.Key) {
			continue
		}
		if counts[one.File]++; counts[one.File] == 1 {
			files = append(files, one.File)
		}
	}
	if len(files) == 0 {
		return l
	}
	var texts []string
	for _, file := range files {
		texts = append(texts, fmt.Sprintf("%s (%d)", bus.Clip(file, 80), counts[file]))
	}
	l.Level, l.Text = Warn, "it carries keys in "+strings.Join(texts, ", ")
	l.Remedy = "who has these keys gets into each of its VMs; if that is not meant, delete the files in the image, " +
		"and give keys by a group's cloud_init"
	return l
}

// given reports whether a line of an authorized_keys file has a key that the group's seed gives. Options may stand before it.
func (j judge) given(line string) bool {
	seed := j.spec.CloudInit
	texts := append([]bus.Text{seed.UserData, seed.VendorData}, seed.SSHKeys...)
	for word := range strings.FieldsSeq(line) {
		if len(word) < leastKey {
			continue
		}
		if slices.ContainsFunc(texts, func(t bus.Text) bool { return strings.Contains(t.Text, word) }) {
			return true
		}
	}
	return false
}

// leastKey is how long a public key is at least, in characters of base64; that of Ed25519 has 68.
const leastKey = 64

func (j judge) cloud() Line {
	l := Line{What: "cloud-init", Level: OK}
	for _, f := range j.clones {
		if !f.Guest.Asked || f.Guest.Cloud == "" {
			l.Level, l.Text = Unknown, "the guest cannot be asked"
			return l
		}
	}
	l.Text = j.clones[0].Guest.Cloud
	for _, f := range j.clones {
		if status := f.Guest.Cloud; status != "none" && status != "done" {
			l.Level, l.Text = Warn, "its status is "+bus.Clip(status, 80)
			l.Remedy = "see `cloud-init status --long` in a VM"
		}
	}
	switch {
	case l.Text != "none":
	case j.spec.CloudInit.Seeded():
		l.Level, l.Text = Warn, "it is not there, and the group's cloud_init has no effect without it"
		l.Remedy = "install it in the image, or leave out the group's cloud_init"
	default:
		l.Text = "it is not there; a group's cloud_init (user data, keys) has no effect then"
	}
	return l
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
