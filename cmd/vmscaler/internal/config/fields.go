package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/notify"
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
			{"cluster", section{
				{"members", text(&c.BusCluster.Members, wantMembers, isMembers)},
				{"name", text(&c.BusCluster.Name, wantMemberName, isMemberName)},
				{"listen", text(&c.BusCluster.Listen, wantListen, isListen)},
				{"ca", text(&c.BusCluster.CA, wantFile, isPath)},
			}},
		}},
		{"http", section{
			{"listen", text(&c.HTTPListen, WantHTTPListen, IsHTTPListen)},
			{"cert", text(&c.HTTPCert, wantFile, isPath)},
			{"key", text(&c.HTTPKey, wantFile, isPath)},
		}},
		{"host", section{
			{"memory_reserve", memory(&c.Host.MemoryReserveMiB, 0)},
			{"memory_promised", percent(&c.Host.MemoryPromisedPercent)},
			{"pool_reserve", memory(&c.Host.PoolReserveMiB, 0)},
			{"vcpus_per_core", whole(&c.Host.VCPUsPerCore, 1000, "")},
			{"domain", text(&c.Domain, `the name of a rack or the like: `+wantMemberName+`, or ""`, isMemberName)},
			{"template_listen", text(&c.TemplateListen, wantTemplateListen, isTemplateListen)},
			{"sweep_grace", duration(&c.SweepGrace, time.Second, 24*time.Hour)},
		}},
		{"sampling", section{
			{"tick", duration(&c.Tick, 100*time.Millisecond, time.Minute)},
		}},
		{"notify", list[notify.Target]{
			&c.Notify, fmt.Sprintf("a list of at most %d targets with name and type", maxTargets), true, notifyFields, newTarget,
		}},
		{"groups", groupList(&c.Groups)},
	}
}

func groupFields(g *bus.Group) section {
	return section{
		{"name", text(&g.Name, wantGroupName, isGroupName)},
		{"template", text(&g.Template, "the name of a template, in quotes if it is a number", isName)},
		{"template_sha256", text(&g.TemplateSHA256, wantDigest, isDigest)},
		{"min", vmsFromZero(&g.Min)},
		{"max", whole(&g.Max, 1000, ": a group that may have no VM at times is one with min: 0")},
		{"vcpus", whole(&g.VCPUs, 512, "")},
		{"memory", memory(&g.MemoryMiB, 32)},
		{"disk", orWord(memory(&g.DiskMiB, 1), "template", &g.DiskMiB, 0)},
		{"disks", list[bus.Disk]{
			&g.Disks, fmt.Sprintf("a list of at most %d disks with size, template and keep", bus.MaxDisks), true, diskFields,
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
		{"identity", choiceOr(&g.Identity, "auto", bus.IdentityOff)},
		{"boot_timeout", duration(&g.BootTimeout, time.Second, time.Hour)},
		{"shutdown_timeout", duration(&g.ShutdownTimeout, 0, time.Hour)},
		{"drain", duration(&g.Drain, 0, time.Hour)},
		{"scale_in", orderList(&g.ScaleIn)},
		{"victim_hook", section{
			{"timeout", duration(&g.VictimHook.Timeout, 100*time.Millisecond, time.Minute)},
			{"patience", duration(&g.VictimHook.Patience, 0, 7*24*time.Hour)},
		}},
		{"protect_new", yesNo(&g.ProtectNew)},
		{"deletion_protection", choiceOr(&g.DeletionProtection, "none", bus.DeletionProtections()...)},
		{"idle_to_zero", orWord(duration(&g.IdleToZero, time.Second, 7*24*time.Hour), "never", &g.IdleToZero, 0)},
		{"wake_for", duration(&g.WakeFor, 0, 7*24*time.Hour)},
		{"blind_after", duration(&g.BlindAfter, time.Second, 24*time.Hour)},
		{"on_host_loss", choiceOr(&g.HostLoss, "replace", bus.HostLosses()...)},
		{"lost_after", duration(&g.LostAfter, time.Second, 24*time.Hour)},
		{"isolate_after", orWord(duration(&g.IsolateAfter, time.Second, 7*24*time.Hour), "never", &g.IsolateAfter, 0)},
		{"fence", section{
			{"command", text(&g.Fence.Command, `a line for /bin/sh, or ""`, isPath)},
			{"timeout", duration(&g.Fence.Timeout, time.Second, time.Hour)},
		}},
		{"placement", choiceOr(&g.Placement, "spread", bus.Placements()...)},
		{"per_host_max", orWord(whole(&g.PerHostMax, 1000, ""), "none", &g.PerHostMax, 0)},
		{"rebalance", choiceOr(&g.Rebalance, "off", bus.Rebalances()...)},
		{"dry_run", yesNo(&g.DryRun)},
		{"repair", section{
			{"health_grace", duration(&g.Repair.HealthGrace, 0, 24*time.Hour)},
			{"at_once", whole(&g.Repair.AtOnce, 1000, "")},
		}},
		{"min_ready", duration(&g.MinReady, 0, time.Hour)},
		{"max_lifetime", orWord(duration(&g.MaxLifetime, time.Minute, 366*24*time.Hour), "none", &g.MaxLifetime, 0)},
		{"maintenance", maintenanceFields(&g.Maintenance)},
		{"refresh", refreshFields(&g.Refresh)},
		{"warm_pool", warmFields(&g.WarmPool)},
		{"brakes", section{
			{"launch_failures", whole(&g.Brakes.LaunchFailures, 1000, "")},
			{"launch_pause", duration(&g.Brakes.LaunchPause, time.Second, 24*time.Hour)},
			{"early_death", duration(&g.Brakes.EarlyDeath, 0, 24*time.Hour)},
			{"removals", whole(&g.Brakes.Removals, 100000, "")},
			{"removal_window", duration(&g.Brakes.RemovalWindow, time.Second, 24*time.Hour)},
		}},
		{"hooks", section{
			{"launch", hookList{&g.Hooks.Launch, hookFields}},
			{"remove", hookList{&g.Hooks.Remove, removeHookFields}},
		}},
		{"policy", policyFields(&g.Policy)},
		{"checks", checkListOf(&g.Checks)},
		{"schedule", list[bus.ScheduledAction]{
			&g.Schedule, "a list of actions with at, zone, from, until, min, max and desired", true, scheduleFields, newAction,
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
		{"keep", choiceOr(&disk.Keep, "never", bus.KeepReplace, bus.KeepAlways)},
	}
}

func vmsFromZero(n *int) scalar { return count(n, 1000, "a whole number from 0 to 1000") }

func newAction() bus.ScheduledAction { return bus.ScheduledAction{Zone: "UTC"} }

func scheduleFields(a *bus.ScheduledAction) section {
	return section{
		{"at", checked(&a.At, schedule.WantAt, schedule.CheckAt)},
		{"zone", text(&a.Zone, schedule.WantZone, schedule.IsZone)},
		{"from", checked(&a.From, schedule.WantBound, schedule.CheckDate)},
		{"until", checked(&a.Until, schedule.WantBound, schedule.CheckDate)},
		{"min", orNull(&a.Min, vmsFromZero)},
		{"max", orNull(&a.Max, func(n *int) scalar { return whole(n, 1000, "") })},
		{"desired", orNull(&a.Desired, vmsFromZero)},
	}
}

const wantGroupName = "a lower-case letter, then up to 39 of a-z, 0-9 and '-', not ending in a number or '-': the VMs are " +
	"called NAME-1, NAME-2, ...; and none that begins with " + bus.ThrowAwayPrefix

func isGroupName(s string) bool { return bus.CheckGroupName(s) == nil && !bus.IsThrowAway(s) }

const (
	wantURL    = "nats://HOST:PORT or tls://HOST:PORT, or several with commas between"
	wantListen = "HOST:PORT, such as " + bus.DefaultListen
	wantFile   = "the path of a file"
)

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
