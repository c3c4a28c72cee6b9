package config

import (
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// The tables below are the file's format. The same table reads a file, names the fields in an error, prints a
// configuration and makes its schema, so that these cannot differ.

// field is one key of a mapping and its value.
type field struct {
	key   string
	value value
}

// value is bound to the variable that holds it.
type value interface {
	// decode sets the variable, or leaves it and reports a problem with path.
	decode(d *decoder, path string, n ast.Node)
	// render is the variable as YAML: either one word beside the key, or lines below it.
	render() (word string, below []string)
	// schema is what the value may be.
	schema() *Schema
}

func configFields(c *Config) section {
	return section{
		{"libvirt", section{
			{"uri", text(&c.LibvirtURI, `qemu:///system, qemu:///session, qemu+ssh://USER@HOST/system, or "" to choose one`,
				isLibvirtURI)},
			{"acceleration", choice(&c.Acceleration, "auto", "kvm", "qemu")},
			{"pool", text(&c.Pool, "the name of a storage pool, in quotes if it is a number", isName)},
			{
				"disk_pool",
				text(&c.DiskPool, `the name of a storage pool, in quotes if it is a number, or "" for the templates'`, isNameOrNone),
			},
		}},
		{"bus", section{
			{"listen", text(&c.BusListen, wantListen, isListen)},
			{"taps", yesOrNo(&c.BusTaps)},
			{"url", text(&c.BusURL, wantURL, isBusURL)},
			{"nkey", text(&c.BusNkey, wantFile, isPath)},
			{"credentials", text(&c.BusCreds, wantFile, isPath)},
			{"ca", text(&c.BusCA, wantFile, isPath)},
			{"cert", text(&c.BusCert, wantFile, isPath)},
			{"key", text(&c.BusKey, wantFile, isPath)},
			{"state_dir", text(&c.StateDir, "the path of a folder", isPath)},
		}},
		{"host", section{
			{"memory_reserve", memory(&c.Host.MemoryReserveMiB, 0)},
			{"memory_promised", percent(&c.Host.MemoryPromisedPercent)},
			{"pool_reserve", memory(&c.Host.PoolReserveMiB, 0)},
			{"vcpus_per_core", whole(&c.Host.VCPUsPerCore, 1000, "")},
			{"sweep_grace", duration(&c.SweepGrace, time.Second, 24*time.Hour)},
		}},
		{"sampling", section{
			{"tick", duration(&c.Tick, 200*time.Millisecond, time.Minute)},
		}},
		{"groups", groupList(&c.Groups)},
	}
}

func groupFields(g *bus.Group) section {
	return section{
		{"name", text(&g.Name, wantGroupName, isGroupName)},
		{"template", text(&g.Template, "the name of a template, in quotes if it is a number", isName)},
		{"min", whole(&g.Min, 1000, ": with no VM there is no CPU to scale out on")},
		{"max", whole(&g.Max, 1000, "")},
		{"vcpus", whole(&g.VCPUs, 512, "")},
		{"memory", memory(&g.MemoryMiB, 32)},
		{"disk", orWord(memory(&g.DiskMiB, 1), "template", &g.DiskMiB, 0)},
		{"disks", list[bus.Disk]{
			&g.Disks, fmt.Sprintf("a list of at most %d disks with size or template", bus.MaxDisks), true, diskFields,
			func() bus.Disk { return bus.Disk{} },
		}},
		{"cloud_init", cloudInitFields(&g.CloudInit)},
		{"network", text(&g.Network, `the name of a libvirt network, user, or "" to choose one`, isNameOrNone)},
		{"nics", list[bus.NIC]{
			&g.Hardware.NICs, fmt.Sprintf("a list of at most %d NICs with type, source, vlan and forwards", bus.MaxNICs), true, nicFields,
			func() bus.NIC { return bus.NIC{Type: bus.NICNetwork} },
		}},
		{"cpu", section{
			{"mode", choiceOr(&g.Hardware.CPU.Mode, "default", bus.CPUHostPassthrough, bus.CPUHostModel, bus.CPUCustom)},
			{"model", text(&g.Hardware.CPU.Model, `the name of a CPU model, or ""`, isWordOrNone)},
		}},
		{"machine", text(&g.Hardware.Machine, `a machine type of QEMU's, such as q35 or pc, or "" to choose one`, isWordOrNone)},
		{"firmware", choiceOr(&g.Hardware.Firmware, "bios", bus.FirmwareUEFI, bus.FirmwareUEFISecure)},
		{"watchdog", choiceOr(&g.Hardware.Watchdog, "none", bus.WatchdogReset, bus.WatchdogPowerOff)},
		{"panic", yesNo(&g.Hardware.Panic)},
		{"tpm", yesNo(&g.Hardware.TPM)},
		{"hugepages", yesNo(&g.Hardware.Hugepages)},
		{"pinning", checked(&g.Hardware.Pinning, `CPUs of the host, such as "0-3,8", or "" for all`, checkPinning)},
		{"tags", wordList{&g.Hardware.Tags}},
		{"domain_xml", fileText{&g.Hardware.DomainXML, "a <domain> of libvirt's with elements for each VM"}},
		{"ready_when", choice(&g.ReadyWhen, bus.ReadyAgent, bus.ReadyLease, bus.ReadyUptime)},
		{"ready_after", duration(&g.ReadyAfter, 0, time.Hour)},
		{"boot_timeout", duration(&g.BootTimeout, time.Second, time.Hour)},
		{"shutdown_timeout", duration(&g.ShutdownTimeout, 0, time.Hour)},
		{"drain", duration(&g.Drain, 0, time.Hour)},
		{"scale_in", choice(&g.ScaleIn, bus.ScaleIns()...)},
		{"blind_after", duration(&g.BlindAfter, time.Second, 24*time.Hour)},
		{"dry_run", yesNo(&g.DryRun)},
		{"repair", section{
			{"health_grace", duration(&g.Repair.HealthGrace, 0, 24*time.Hour)},
			{"at_once", whole(&g.Repair.AtOnce, 1000, "")},
		}},
		{"refresh", refreshFields(&g.Refresh)},
		{"brakes", section{
			{"launch_failures", whole(&g.Brakes.LaunchFailures, 1000, "")},
			{"launch_pause", duration(&g.Brakes.LaunchPause, time.Second, 24*time.Hour)},
			{"early_death", duration(&g.Brakes.EarlyDeath, 0, 24*time.Hour)},
			{"removals", whole(&g.Brakes.Removals, 100000, "")},
			{"removal_window", duration(&g.Brakes.RemovalWindow, time.Second, 24*time.Hour)},
		}},
		{"hooks", section{
			{"launch", hookFields(&g.Hooks.Launch)},
			{"remove", hookFields(&g.Hooks.Remove)},
		}},
		{"policy", policyFields(&g.Policy)},
		{"checks", checkListOf(&g.Checks)},
		{"schedule", list[bus.ScheduledAction]{
			&g.Schedule, "a list of actions with at, zone, min, max and desired", true, scheduleFields, newAction,
		}},
	}
}

func cloudInitFields(c *bus.CloudInit) section {
	return section{
		{"ssh_keys", fileTexts{&c.SSHKeys, "a public key"}},
		{"user_data", fileText{&c.UserData, "cloud-init's user data"}},
		{"vendor_data", fileText{&c.VendorData, "cloud-init's vendor data"}},
		{"network_config", fileText{&c.NetworkConfig, "cloud-init's network config"}},
	}
}

func nicFields(n *bus.NIC) section {
	return section{
		{"type", choice(&n.Type, bus.NICNetwork, bus.NICBridge, bus.NICMacvtap, bus.NICUser)},
		{"source", text(&n.Source, `the name of a network, a bridge or a device of the host, or "" with type: user`, isNameOrNone)},
		{"vlan", optional(&n.VLAN, 4094)},
		{"forwards", list[bus.Forward]{
			&n.Forwards, fmt.Sprintf("a list of at most %d forwarded ports with host_port and guest_port", bus.MaxForwards), true,
			forwardFields,
			func() bus.Forward { return bus.Forward{} },
		}},
	}
}

func forwardFields(f *bus.Forward) section {
	return section{
		{"host_port", whole(&f.Host, 65535, "")},
		{"guest_port", whole(&f.Guest, 65535, "")},
	}
}

func checkPinning(s string) error {
	_, err := bus.CheckPinning(s)
	return err
}

func diskFields(disk *bus.Disk) section {
	return section{
		{"size", orWord(memory(&disk.SizeMiB, 1), "template", &disk.SizeMiB, 0)},
		{"template", text(&disk.Template, `the name of a template, or "" for an empty disk`, isNameOrNone)},
	}
}

func newAction() bus.ScheduledAction { return bus.ScheduledAction{Zone: "UTC"} }

func scheduleFields(a *bus.ScheduledAction) section {
	return section{
		{"at", checked(&a.At, wantCron, schedule.CheckAt)},
		{"zone", text(&a.Zone, "a time zone, such as UTC or Europe/Berlin", isZone)},
		{"min", optional(&a.Min, 1000)},
		{"max", optional(&a.Max, 1000)},
		{"desired", optional(&a.Desired, 1000)},
	}
}

const wantCron = "a cron expression in quotes: minute, hour, day of the month, month, day of the week, " +
	"such as \"0 8 * * MON-FRI\"; or such as @daily"

func isZone(s string) bool {
	_, err := time.LoadLocation(s)
	return err == nil && s != "" && s != "Local" // the same in each stage, wherever that runs
}

func bandFields(b *bus.Band) section {
	return section{
		{"from", number(&b.From, 0, 100, "points from 0 to 100 beyond the threshold")},
		{"adjust", number(&b.Adjust, -1000, 1000, "VMs or percent from -1000 to 1000")},
	}
}

func hookFields(h *bus.Hook) section {
	return section{
		{"wait_for", choice(&h.WaitFor, bus.WaitForNobody, bus.WaitForBus, bus.WaitForCommand)},
		{"command", text(&h.Command, "a line for /bin/sh", isPath)},
		{"timeout", duration(&h.Timeout, time.Second, 48*time.Hour)},
		{"default", choice(&h.Default, bus.HookContinue, bus.HookAbandon)},
	}
}

func policyFields(p *bus.Policy) section {
	return section{
		{"type", choices(&p.Types, policy.Kinds()...)},
		{"setting", choice(&p.Setting, policy.Settings()...)},
		{"signal", choice(&p.Signal, bus.SignalCPU, bus.SignalMemory, bus.SignalMetric)},
		{"target", percent(&p.TargetPercent)},
		{"metric", text(&p.Metric, "the name of a metric: up to 60 of a-z, A-Z, 0-9, '-' and '_'", isMetric)},
		{"metric_target", number(&p.MetricTarget, 1e-6, 1e12, "a number above 0, for each VM")},
		{"metric_max_age", duration(&p.MetricMaxAge, time.Second, 24*time.Hour)},
		{"upper", percent(&p.UpperPercent)},
		{"lower", percent(&p.LowerPercent)},
		{"interval", duration(&p.Interval, 200*time.Millisecond, bus.LongestInterval)},
		{"breaches_out", whole(&p.BreachesOut, 1000, "")},
		{"breaches_in", whole(&p.BreachesIn, 1000, "")},
		{"cooldown_out", duration(&p.CooldownOut, 0, 24*time.Hour)},
		{"cooldown_in", duration(&p.CooldownIn, 0, 24*time.Hour)},
		{"warmup", orWord(duration(&p.Warmup, 0, time.Hour), "learned", &p.Warmup, bus.WarmupLearned)},
		{"steps", section{
			{"adjustment", choice(&p.Steps.Adjustment, bus.AdjustChange, bus.AdjustExact, bus.AdjustPercent)},
			{"min_magnitude", whole(&p.Steps.MinMagnitude, 1000, "")},
			{"out", list[bus.Band]{&p.Steps.Out, "a list of bands with from and adjust", true, bandFields, newBand}},
			{"in", list[bus.Band]{&p.Steps.In, "a list of bands with from and adjust", true, bandFields, newBand}},
		}},
		{"limits", section{
			{"tolerance", percent(&p.Limits.TolerancePercent)},
			{"stabilize_out", duration(&p.Limits.StabilizeOut, 0, 24*time.Hour)},
			{"stabilize_in", duration(&p.Limits.StabilizeIn, 0, 24*time.Hour)},
			{"rate_out", optional(&p.Limits.RateOut, 1000)},
			{"rate_in", optional(&p.Limits.RateIn, 1000)},
			{"rate_window", duration(&p.Limits.RateWindow, time.Second, 24*time.Hour)},
		}},
	}
}

func newBand() bus.Band { return bus.Band{} }

func isMetric(s string) bool { return s == "" || bus.CheckMetricName(s) == nil }

// config decodes the whole file, and then checks what takes more than one field.
func (d *decoder) config(c *Config, body ast.Node) {
	c.BusListen = "" // its default depends on the URL
	configFields(c).decode(d, "", body)

	if c.BusURL == "" && c.BusListen == "" {
		c.BusListen = bus.DefaultListen
	}
	for _, p := range c.busProblems() {
		if !d.bad(p.Field) {
			d.problem(p.Field, p.Found, p.Allowed)
		}
	}
	if !d.has("groups") || d.bad("groups") {
		return
	}
	first := map[string]string{} // a group's name -> the field that has it
	for i, g := range c.Groups {
		path := fmt.Sprintf("groups[%d]", i)
		d.group(path, g)
		if other, again := first[g.Name]; again && g.Name != "" {
			d.problem(path+".name", g.Name, fmt.Sprintf("a name of its own: line %d has this one", d.lines[other].line))
		} else {
			first[g.Name] = path + ".name"
		}
	}
}

// group checks what takes more than one of a group's fields.
func (d *decoder) group(path string, g bus.Group) {
	if d.bad(path) {
		return // not a group at all
	}
	if !d.has(path + ".name") {
		d.problem(path+".name", "nothing", wantGroupName)
	}
	d.order(path, g.Min <= g.Max, "min", "at most", "max", "at least", groupFields(&g))
	d.order(path+".policy", g.Policy.LowerPercent < g.Policy.UpperPercent,
		"lower", "less than", "upper", "more than", policyFields(&g.Policy))
	d.order(path, g.ReadyWhen != bus.ReadyUptime || g.ReadyAfter < g.BootTimeout,
		"ready_after", "less than", "boot_timeout", "more than", groupFields(&g))
	d.policy(path+".policy", g.Policy)
	d.disks(path+".disks", g.Disks)
	d.seed(path+".cloud_init", g)
	d.checks(path+".checks", g)
	d.nics(path, g)
	d.hardware(path, g.Hardware)
	for i, a := range g.Schedule {
		at := fmt.Sprintf("%s.schedule[%d]", path, i)
		switch {
		case d.bad(at):
		case a.At == "" && !d.bad(at+".at"):
			d.problem(at+".at", "nothing", "a cron expression such as \"0 8 * * MON-FRI\"")
		case a.Min == 0 && a.Max == 0 && a.Desired == 0 && !d.bad(at+".min") && !d.bad(at+".max") && !d.bad(at+".desired"):
			d.problem(at, "an action that sets nothing", "min, max or desired")
		}
		if a.Min > 0 && a.Max > 0 {
			d.order(at, a.Min <= a.Max, "min", "at most", "max", "at least", scheduleFields(&a))
		}
	}
	for _, h := range []struct {
		key  string
		hook bus.Hook
	}{{"launch", g.Hooks.Launch}, {"remove", g.Hooks.Remove}} {
		at := path + ".hooks." + h.key
		switch {
		case d.bad(at + ".command"), d.bad(at + ".wait_for"):
		case h.hook.WaitFor == bus.WaitForCommand && h.hook.Command == "":
			d.problem(at+".wait_for", string(h.hook.WaitFor), "it together with a command")
		case h.hook.WaitFor != bus.WaitForCommand && h.hook.Command != "":
			d.problem(at+".command", clip(h.hook.Command), "none without wait_for: command")
		}
	}
	if g.ReadyWhen == bus.ReadyLease && g.Network == bus.UserNetwork && len(g.Hardware.NICs) == 0 {
		d.problem(path+".ready_when", string(g.ReadyWhen), "agent or uptime with the network user, which has no leases")
	}
}

// disks checks what takes more than one field of the further disks.
func (d *decoder) disks(path string, disks []bus.Disk) {
	if len(disks) > bus.MaxDisks && !d.bad(path) {
		d.problem(path, fmt.Sprintf("%d disks", len(disks)), fmt.Sprintf("at most %d", bus.MaxDisks))
	}
	for i, disk := range disks {
		at := fmt.Sprintf("%s[%d]", path, i)
		if disk == (bus.Disk{}) && !d.bad(at) && !d.bad(at+".size") && !d.bad(at+".template") {
			d.problem(at, "a disk without size and template", "one of them, or both")
		}
	}
}

// policy checks what takes more than one of a policy's fields.
func (d *decoder) policy(path string, p bus.Policy) {
	switch {
	case d.bad(path + ".signal"), d.bad(path + ".metric"), d.bad(path + ".type"):
	case p.Signal == bus.SignalMetric && p.Metric == "":
		d.problem(path+".signal", string(p.Signal), "it together with the name of a metric")
	case p.Signal != bus.SignalCPU && !p.Has(bus.PolicyTarget):
		d.problem(path+".signal", string(p.Signal), "it with type: target only")
	}
	if p.Signal != bus.SignalMetric && p.TargetPercent == 0 && !d.bad(path+".target") {
		d.problem(path+".target", "0", "more than 0 percent")
	}
	for _, side := range []struct {
		key   string
		bands []bus.Band
		sign  float64
	}{{"out", p.Steps.Out, 1}, {"in", p.Steps.In, -1}} {
		for i, b := range side.bands {
			at := fmt.Sprintf("%s.steps.%s[%d]", path, side.key, i)
			switch {
			case d.bad(at), d.bad(at + ".from"), d.bad(at + ".adjust"), d.bad(path + ".steps.adjustment"):
			case i > 0 && b.From <= side.bands[i-1].From:
				d.problem(at+".from", fmt.Sprint(b.From), "more than the band before it has")
			case p.Steps.Adjustment != bus.AdjustPercent && b.Adjust != math.Trunc(b.Adjust):
				d.problem(at+".adjust", fmt.Sprint(b.Adjust), "a whole number of VMs")
			case p.Steps.Adjustment == bus.AdjustExact && b.Adjust < 1:
				d.problem(at+".adjust", fmt.Sprint(b.Adjust), "at least 1 VM with adjustment: exact")
			case p.Steps.Adjustment != bus.AdjustExact && b.Adjust*side.sign < 0:
				d.problem(at+".adjust", fmt.Sprint(b.Adjust), map[string]string{"out": "0 or more", "in": "0 or less"}[side.key])
			}
		}
	}
}

// order reports two fields of a section that contradict each other, at the one that the file sets. It is silent if
// either has a problem by itself, since then its value is not what the file says.
func (d *decoder) order(path string, ok bool, low, below, high, above string, fields section) {
	lowPath, highPath := join(path, low), join(path, high)
	if ok || d.bad(lowPath) || d.bad(highPath) {
		return
	}
	if d.has(lowPath) {
		d.problem(lowPath, fields.word(low), below+" "+d.mention(highPath, high, fields))
	} else {
		d.problem(highPath, fields.word(high), above+" "+d.mention(lowPath, low, fields))
	}
}

// mention is a field with its value, such as "max (5, the default)".
func (d *decoder) mention(path, key string, fields section) string {
	note := ""
	if !d.has(path) {
		note = ", the default"
	}
	return fmt.Sprintf("%s (%s%s)", key, fields.word(key), note)
}

const wantGroupName = "a lower-case letter, then up to 39 of a-z, 0-9 and '-', not ending in a number or '-': the VMs are " +
	"called NAME-1, NAME-2, ...; and none that begins with " + bus.ThrowAwayPrefix

func isGroupName(s string) bool { return bus.CheckGroupName(s) == nil && !bus.IsThrowAway(s) }

// busProblems is what takes more than one of the bus's fields.
func (c Config) busProblems() Problems {
	var problems Problems
	add := func(field, found, allowed string) {
		problems = append(problems, Problem{Field: field, Found: found, Allowed: allowed})
	}
	switch {
	case c.BusURL != "" && c.BusListen != "":
		add("bus.listen", c.BusListen, "none together with bus.url: a bus is either embedded or joined")
	case c.BusListen != "" && isListen(c.BusListen) && bus.CheckListen(c.BusListen, c.BusCert != "") != nil:
		add("bus.listen", c.BusListen, "a loopback HOST:PORT, such as "+bus.DefaultListen+", or any with TLS (bus.cert and "+
			"bus.key): whoever reaches the bus can watch it unencrypted")
	}
	switch {
	case c.BusCert != "" && c.BusKey == "":
		add("bus.cert", c.BusCert, "it together with its bus.key")
	case c.BusKey != "" && c.BusCert == "":
		add("bus.key", c.BusKey, "it together with its bus.cert")
	}
	if c.BusNkey != "" && c.BusCreds != "" {
		add("bus.nkey", c.BusNkey, "either bus.nkey or bus.credentials")
	}
	return problems
}

// CheckBus reports what is wrong with the bus's fields after some were set by other means than the file.
func CheckBus(c Config) error {
	problems := c.busProblems()
	if !isListen(c.BusListen) {
		problems = append(problems, Problem{Field: "bus.listen", Found: quote(c.BusListen), Allowed: wantListen})
	}
	if c.BusTaps != Yes && c.BusTaps != No {
		problems = append(problems, Problem{Field: "bus.taps", Found: quote(c.BusTaps), Allowed: wantYesOrNo})
	}
	if !isBusURL(c.BusURL) {
		problems = append(problems, Problem{Field: "bus.url", Found: quote(c.BusURL), Allowed: wantURL})
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

const (
	wantURL    = "nats://HOST:PORT or tls://HOST:PORT, or several with commas between"
	wantListen = "HOST:PORT, such as " + bus.DefaultListen
	wantFile   = "the path of a file"
)

func isListen(s string) bool { return s == "" || bus.CheckListen(s, true) == nil }

func isPath(s string) bool { return len(s) < 4096 && isPrintable(s) }

func isNameOrNone(s string) bool { return s == "" || isName(s) }

// isName reports whether libvirt could have something of this name: its names become file names.
func isName(s string) bool {
	return s != "" && len(s) <= 200 && s == strings.TrimSpace(s) && s != "." && s != ".." &&
		!strings.Contains(s, "/") && isPrintable(s)
}

func isLibvirtURI(s string) bool {
	if s == "" {
		return true
	}
	u, err := url.Parse(s)
	if err != nil || !isPrintable(s) {
		return false
	}
	driver, _, _ := strings.Cut(u.Scheme, "+")
	return driver == "qemu" || driver == "test"
}

// isBusURL allows what the NATS client does, but wants the scheme to be written out.
func isBusURL(s string) bool {
	if s == "" {
		return true
	}
	for one := range strings.SplitSeq(s, ",") {
		u, err := url.Parse(one)
		if err != nil || u.Hostname() == "" || !isPrintable(s) {
			return false
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return false
		}
	}
	return true
}
