package vm

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

const (
	lowCPUPercent = 25               // from which down a VM that boots is at rest
	restBeforeUse = 5 * time.Second  // for which it must be so, where the guest cannot say that it is up
	restNotFound  = 30 * time.Second // after the agent's first answer a VM is taken as it is, or after as long as that took
	askSystem     = time.Second      // between two questions to a guest whether it is up
	cpuWindow     = time.Second      // over which its CPU is measured
)

// system is how far a guest has come, by its own word.
type system int

const (
	systemUnasked  system = iota // it has not said yet
	systemHidden                 // it cannot be asked: its agent may run nothing, or there is no shell
	systemBare                   // there is nothing that would know: an agent that answers is all
	systemStarting               // systemd has jobs left
	systemSeeding                // cloud-init has not finished
	systemBroken                 // systemd's emergency mode, or it shuts down
	systemUp
)

// bootView is what is seen of a VM that boots.
type bootView struct {
	Elapsed  time.Duration // since its start, less what does not count
	Timeout  time.Duration
	Silent   string        // why its agent does not answer; "": it does
	Answered time.Duration // since its agent answered first
	System   system
	CPU      *float64      // lately; nil is unknown
	Quiet    time.Duration // for which its CPU has been low
	// Network is that of the VM where its addresses can be seen, and Addressed reports whether it has one.
	Network   string
	Addressed bool
}

// ready reports whether a VM whose agent is waited for has booted, with what shows it, or else with what it lacks. A guest
// that reports that it is up is believed. One that cannot say so must come to rest once, but not forever: it may be at work.
func (v bootView) ready() (ready bool, why string) {
	late := v.Elapsed >= v.Timeout
	why = "its guest agent answers"
	switch {
	case v.Silent != "":
		return false, v.Silent
	case v.System == systemBroken:
		return false, "its systemd is in emergency mode, or shuts down"
	case v.System == systemUp:
		why = "its guest agent answers, and its system is up"
	case v.System == systemBare:
	case v.System == systemUnasked && !late:
		return false, "its guest agent answers, and has not said yet whether the system is up"
	case v.System == systemStarting && !late:
		return false, "its guest agent answers, and systemd is still starting services"
	case v.System == systemSeeding && !late:
		return false, "its guest agent answers, and cloud-init has not finished"
	case v.System == systemStarting, v.System == systemSeeding:
		why = fmt.Sprintf("its guest agent answers; that its system is up was waited for in vain for %s", v.Timeout)
	case v.Quiet >= restBeforeUse:
		why = "its guest agent answers, and its CPU has come to rest"
	case late, v.Answered >= max(restNotFound, v.Elapsed-v.Answered):
		why = "its guest agent answers; it cannot say whether its system is up, and its CPU does not come to rest"
	default:
		return false, "its guest agent answers and cannot say whether the system is up (guest-exec is off, or there is no /bin/sh); " +
			"its CPU has not come to rest"
	}
	if v.Network != "" && !v.Addressed {
		return false, fmt.Sprintf("it has no address on network %s", v.Network)
	}
	return true, why
}

// busyBoot is the CPU use from which a guest that does not answer is still booting, or spins.
const busyBoot = 50

// remedy is what helps against a boot time-out of the VM of that name, by what was seen last.
func (v bootView) remedy(spec bus.Group, name string, leases bool) string {
	switch {
	case spec.ReadyWhen == bus.ReadyUptime:
		return ""
	case spec.ReadyWhen == bus.ReadyLease && !leases:
		return fmt.Sprintf(
			"libvirt sees no leases on network %s, as it hands out none there: use ready_when: agent or uptime",
			spec.Network,
		)
	case v.CPU != nil && *v.CPU >= busyBoot && (v.Silent != "" || spec.ReadyWhen == bus.ReadyLease):
		return fmt.Sprintf("its CPU is at %.0f %%, so it may still boot: raise boot_timeout", *v.CPU)
	case spec.ReadyWhen == bus.ReadyLease:
		return fmt.Sprintf(
			"its image must ask for an address by DHCP, and network %s have one left (virsh net-dhcp-leases %s); or use ready_when: "+
				"agent or uptime",
			spec.Network,
			spec.Network,
		)
	case v.Silent != "":
		return "its image needs the guest agent (package qemu-guest-agent, enabled), or the group ready_when: uptime"
	case v.Network != "" && !v.Addressed:
		return fmt.Sprintf(
			"its image must ask for an address by DHCP, and network %s have one left (virsh net-dhcp-leases %s)",
			v.Network,
			v.Network,
		)
	}
	return "`vmscaler console " + name + " --last 40` shows what it printed"
}

// leasesSeen reports whether libvirt itself hands out addresses on a network of that definition, so that it knows them.
// On a bridge of the host, with macvtap and in user-mode networking it does not.
func leasesSeen(networkXML string) (bool, error) {
	var n libvirtxml.Network
	if err := n.Unmarshal(networkXML); err != nil {
		return false, fmt.Errorf("read the network: %w", err)
	}
	if n.Forward != nil && !slices.Contains([]string{"", "nat", "route", "open"}, n.Forward.Mode) {
		return false, nil
	}
	return slices.ContainsFunc(n.IPs, func(ip libvirtxml.NetworkIP) bool {
		return ip.DHCP != nil && len(ip.DHCP.Ranges)+len(ip.DHCP.Hosts) > 0
	}), nil
}

// seesLeases is leasesSeen of a group's network. A network that cannot be read is none where an address can be waited for.
func seesLeases(conn *libvirt.Connect, network string) bool {
	if network == bus.UserNetwork || network == "" {
		return false
	}
	n, err := conn.LookupNetworkByName(network)
	if err != nil {
		return false
	}
	defer func() { _ = n.Free() }()
	text, err := n.GetXMLDesc(0)
	if err != nil {
		return false
	}
	seen, err := leasesSeen(text)
	return err == nil && seen
}

// leasedNetwork is the first network of a group, of which nothing is left open, on which libvirt hands out addresses; "" is none.
func leasedNetwork(conn *libvirt.Connect, spec bus.Group) string {
	for _, nic := range spec.NICs("") {
		if nic.Type == bus.NICNetwork && seesLeases(conn, nic.Source) {
			return nic.Source
		}
	}
	return ""
}

// systemScript asks a guest how far it is. systemd's word includes cloud-init's; without systemd that has its own files. What
// it prints are the words of parseSystem.
const systemScript = `
if [ -d /run/systemd/system ]; then
	echo "systemd $(systemctl is-system-running 2>/dev/null)"
elif [ -e /run/cloud-init/result.json ] || [ -e /run/cloud-init/disabled ]; then
	echo cloud-init done
elif [ -e /run/cloud-init/status.json ] || [ -e /run/cloud-init/enabled ]; then
	echo cloud-init running
else
	echo bare
fi`

// parseSystem reads what systemScript printed. A guest that says something else has not said it.
func parseSystem(output string) system {
	switch strings.TrimSpace(output) {
	case "systemd running", "systemd degraded", "cloud-init done":
		return systemUp
	case "systemd initializing",
		"systemd starting",
		"systemd",
		"systemd offline",
		"systemd unknown": // or systemd does not answer yet
		return systemStarting
	case "systemd maintenance", "systemd stopping":
		return systemBroken
	case "cloud-init running":
		return systemSeeding
	case "bare":
		return systemBare
	}
	return systemHidden
}

// patience is how long a guest that does not say that it is up is waited for. Where checks follow, which show more, they have the
// last quarter of the boot time-out.
func patience(spec bus.Group) time.Duration {
	if slices.ContainsFunc(spec.Checks, bus.Check.ForReady) {
		return spec.BootTimeout * 3 / 4
	}
	return spec.BootTimeout
}

// bootWatch looks at a VM that boots, again and again. It is used by one goroutine.
type bootWatch struct {
	dom      *libvirt.Domain
	spec     bus.Group
	network  string // on which libvirt hands out addresses; "": there is none
	answered time.Time
	canRun   *bool // its agent runs programs; nil: not asked
	asked    time.Time
	pid      int // of the question under way; 0: none
	system   system
	cpu      restMeter
	last     bootView
}

// look asks whatever is not known yet; each question is one call that its guest may leave unanswered for agentTimeout.
func (w *bootWatch) look(started, now time.Time) bootView {
	v := bootView{Elapsed: now.Sub(started), Timeout: patience(w.spec)}
	if info, err := w.dom.GetInfo(); err == nil {
		w.cpu.add(time.Duration(info.CpuTime), int(info.NrVirtCpu), now)
	}
	v.CPU, v.Quiet = w.cpu.percent, w.cpu.quiet(now)
	if w.spec.ReadyWhen == bus.ReadyAgent {
		if err := agentCommand(w.dom, agentTimeout, "guest-ping", nil, nil); err != nil {
			v.Silent = ErrorText(err)
			w.last = v
			return v
		}
		if w.answered.IsZero() {
			w.answered = now
		}
		v.Answered = now.Sub(w.answered)
		w.ask(now)
		v.System = w.system
	}
	if w.network != "" && (w.spec.ReadyWhen == bus.ReadyAgent || w.spec.Hooks.Launch.Waits()) {
		v.Network = w.network
		v.Addressed = addressOf(w.dom) != ""
	}
	w.last = v
	return v
}

// ask goes one step on with asking the guest how far it is. An agent that fails in the middle is asked again.
func (w *bootWatch) ask(now time.Time) {
	if w.canRun == nil {
		can, err := canRun(w.dom)
		if err != nil {
			return
		}
		w.canRun = &can
	}
	switch {
	case !*w.canRun:
		w.system = systemHidden
	case w.system == systemUp, w.system == systemBare:
	case w.pid == 0 && now.Sub(w.asked) >= askSystem:
		var run struct {
			PID int `json:"pid"`
		}
		w.asked = now
		err := agentCommand(w.dom, agentTimeout, "guest-exec", map[string]any{
			"path": "/bin/sh", "arg": []string{"-c", systemScript}, "capture-output": true,
		}, &run)
		switch {
		case err == nil:
			w.pid = run.PID
		case !agentIsAway(err):
			w.system = systemHidden
		}
	case w.pid != 0:
		var status struct {
			Exited bool   `json:"exited"`
			Output string `json:"out-data"`
		}
		err := agentCommand(w.dom, agentTimeout, "guest-exec-status", map[string]any{"pid": w.pid}, &status)
		if err != nil && agentIsAway(err) || err == nil && !status.Exited {
			return
		}
		w.pid = 0
		if err != nil { // it does not know of the program any more, as after its own restart
			return
		}
		output, err := base64.StdEncoding.DecodeString(status.Output)
		if err != nil {
			output = nil
		}
		w.system = parseSystem(string(output))
	}
}

// canRun reports whether a guest's agent runs programs: distributions turn that off, and agents may be older than it.
func canRun(dom *libvirt.Domain) (bool, error) {
	var info struct {
		Commands []struct {
			Name    string `json:"name"`
			Enabled bool   `json:"enabled"`
		} `json:"supported_commands"`
	}
	if err := agentCommand(dom, agentTimeout, "guest-info", nil, &info); err != nil {
		if agentIsAway(err) {
			return false, err
		}
		return false, nil // it answers, and knows no such question
	}
	on := map[string]bool{}
	for _, c := range info.Commands {
		on[c.Name] = c.Enabled
	}
	return on["guest-exec"] && on["guest-exec-status"], nil
}

// agentIsAway reports whether a command failed for want of an answer, and not by the answer.
func agentIsAway(err error) bool {
	return errors.Is(err, libvirt.ERR_AGENT_UNRESPONSIVE) || errors.Is(err, libvirt.ERR_AGENT_COMMAND_TIMEOUT) ||
		errors.Is(err, libvirt.ERR_AGENT_UNSYNCED) || errors.Is(err, libvirt.ERR_OPERATION_INVALID)
}

// restMeter measures a VM's CPU use, and since when it is low.
type restMeter struct {
	percent *float64 // over the last window; nil is unknown
	used    time.Duration
	at      time.Time
	low     time.Time // the end of the first window in a row that is low; zero: the last one is not
}

// add takes the CPU time that the VM has used up to a moment.
func (m *restMeter) add(used time.Duration, vcpus int, at time.Time) {
	window := at.Sub(m.at)
	if !m.at.IsZero() && window >= 0 && window < cpuWindow {
		return
	}
	known := !m.at.IsZero() && window > 0 && used >= m.used && vcpus > 0
	percent := 100 * float64(used-m.used) / (float64(window) * float64(max(vcpus, 1)))
	m.used, m.at, m.percent = used, at, nil
	if known {
		m.percent = &percent
	}
	switch {
	case !known || percent > lowCPUPercent:
		m.low = time.Time{}
	case m.low.IsZero():
		m.low = at
	}
}

// quiet is for how long the CPU has been low.
func (m *restMeter) quiet(now time.Time) time.Duration {
	if m.low.IsZero() {
		return 0
	}
	return max(0, now.Sub(m.low))
}
