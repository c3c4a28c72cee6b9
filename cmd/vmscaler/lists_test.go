package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// listedStatus is a status with two groups on two hosts.
func listedStatus() bus.Status {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	vm := func(name string, phase bus.Phase, cpu *float64, address string) bus.VM {
		return bus.VM{
			Name: name, Phase: phase, State: bus.StateRunning, CPUPercent: cpu, VCPUs: 2, MemoryMiB: 512, UUID: "uuid-" + name,
			Created: now.Add(-3 * time.Minute), Template: "demo", Address: address,
		}
	}
	sample := func(group, host string, age time.Duration, vms ...bus.VM) bus.Sample {
		return bus.Sample{
			Group: group, Host: host, HostID: bus.HostID("id-" + host), Time: now.Add(-age), VMs: vms,
			HostLoad: bus.Host{CPUPercent: new(12.4), Cores: 8, MemoryMiB: 16000, MemoryFreeMiB: new(9000)},
		}
	}
	return bus.Status{V: bus.Version, Time: now, Groups: []bus.GroupStatus{
		{Group: "db"},
		{
			Group: "web", Decision: &bus.Decision{
				HasSample: true, Desired: 3, Rule: bus.RuleStable, Sentence: "between the two", Inputs: bus.Inputs{
					Ready: 1, Warming: 1, Launching: 1, Min: 1, Max: 5, AveragePercent: new(41.6),
				}, Controls: bus.Controls{Paused: []bus.Scope{bus.ScopeIn, bus.ScopeRepair}},
				Hosts: map[bus.HostID]bus.HostStanding{"id-kvm2": {Host: "kvm2", State: bus.HostSilent, Since: now, Reason: "no sample"}},
			}, Samples: []bus.Sample{
				sample("web", "kvm2", 30*time.Second, vm("web-10", bus.PhaseLaunching, nil, "")),
				sample("web", "kvm1", time.Second, vm("web-2", bus.PhaseReady, new(41.6), "10.0.0.2")),
			}, ClockAheadS: map[bus.HostID]float64{"id-kvm1": -3600.02},
		},
	}}
}

func TestLists(t *testing.T) {
	printed := func(format printer.Format, of func(o *printer.Output, out *strings.Builder) error) string {
		var out strings.Builder
		o := printer.As(format)
		if err := of(&o, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	groups := func(o *printer.Output, out *strings.Builder) error { return listGroups(listedStatus()).Print(out, o) }
	vms := func(o *printer.Output, out *strings.Builder) error { return listVMs(listedStatus()).Print(out, o) }
	hosts := func(o *printer.Output, out *strings.Builder) error { return listHosts(listedStatus()).Print(out, o) }
	for _, tt := range []struct{ got, want string }{
		{printed(printer.Table, groups), `GROUP  DESIRED  READY  PENDING  MIN  MAX  CPU   PAUSED
db     -        -      -        -    -    -     -
web    3        2      1        1    5    42 %  in,repair
`},
		{printed(printer.Name, groups), "db\nweb\n"},
		{printed(printer.Table, vms), `VM      GROUP  PHASE      STATE    CPU      AGE    ADDRESS   HOST
web-2   web    ready      running  42 %     3 min  10.0.0.2  kvm1
web-10  web    launching  running  unknown  3 min  -         kvm2
`},
		{printed(printer.Name, vms), "web-2\nweb-10\n"},
		{printed(printer.Table, hosts), `HOST  STATE   VMS  CPU   CORES  MEMORY     FREE      POOL FREE  SAMPLE
kvm1  up      1    12 %  8      16000 MiB  9000 MiB  unknown    1 s old
kvm2  silent  1    12 %  8      16000 MiB  9000 MiB  unknown    30 s old
`},
	} {
		if tt.got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", tt.got, tt.want)
		}
	}
	wide := strings.SplitAfter(printed(printer.Wide, vms), "\n")
	for i, want := range []string{
		"HOST  VCPUS  MEMORY   TEMPLATE  PROTECTED  NOTE  UUID         ERROR\n",
		"kvm1  2      512 MiB  demo      no         -     uuid-web-2   -\n",
	} {
		if !strings.HasSuffix(wide[i], want) {
			t.Errorf("got %q, want %q at the end", wide[i], want)
		}
	}
	wide = strings.SplitAfter(printed(printer.Wide, hosts), "\n")
	for i, want := range []string{" CLOCK ", " 3600.0 s behind ", " unknown "} {
		if !strings.Contains(wide[i], want) {
			t.Errorf("got %q, want %q in it", wide[i], want)
		}
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(printed(printer.JSON, vms)), &rows); err != nil || len(rows) != 2 || rows[0]["group"] != "web" ||
		rows[0]["host"] != "kvm1" || rows[0]["name"] != "web-2" || rows[1]["cpu_percent"] != nil {
		t.Errorf("%v: %v", err, rows)
	}
}

// The commands ask for what they list, and say on stderr that there is nothing.
func TestListCommands(t *testing.T) {
	flags := decider(t, func(r client.Request) error {
		s := listedStatus()
		if r.Query.Group != "" {
			s.Groups = s.Groups[:1]
		}
		return r.Answer(s)
	})
	for line, want := range map[string]string{
		"groups -o name": "db\nweb\n", "vms -o name": "web-2\nweb-10\n", "vms db -o name": "", "vms db": "",
		"host list -o name": "kvm1\nkvm2\n",
		"vms db -o json":    "[]\n", "vms db -o yaml": "[]\n",
	} {
		if out, err := command(t, append(strings.Fields(line), flags...)...); err != nil || out != want {
			t.Errorf("%s: got %q, %v, want %q", line, out, err, want)
		}
	}
}

// The hooks that VMs wait for are those of all hosts, those that end first before the others.
func TestListHooks(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.Local)
	hook := func(group, vm, name, token string, since, left time.Duration) bus.PendingHook {
		return bus.PendingHook{
			Group: group, VM: vm, Hook: bus.HookLaunch, Name: name, Token: token, WaitFor: bus.WaitForBus,
			Since: now.Add(-since), Until: now.Add(left),
		}
	}
	s := bus.Status{V: bus.Version, Time: now, Stages: []bus.Health{
		{Stage: "collector"},
		{Stage: "actuator", Acts: &bus.Acts{Hooks: []bus.PendingHook{hook("web", "web-2", "lb", "TOKEN", 2*time.Minute, time.Hour)}}},
		{Stage: "actuator", Acts: &bus.Acts{Hooks: []bus.PendingHook{
			hook("web", "web-7", "", "", 5*time.Second, time.Minute), hook("db", "db-1", "", "", 0, 0),
		}}},
	}}
	var out strings.Builder
	o := printer.As(printer.Table)
	if err := listHooks(s, "web").Print(&out, &o); err != nil {
		t.Fatal(err)
	}
	const want = `VM     GROUP  HOOK            ANSWERS  WAITS  UNTIL                TOKEN
web-7  web    launch hook     bus      5 s    2026-05-04 12:01:00  -
web-2  web    launch hook lb  bus      2 min  2026-05-04 13:00:00  TOKEN
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	if rows := listHooks(s, "").Rows; len(rows) != 3 || rows[0].VM != "db-1" {
		t.Errorf("of all groups: %+v", rows)
	}
}

// A VM on a network of its own has no address that others reach, and perhaps ports of its host.
func TestForwardsText(t *testing.T) {
	if got := forwardsText(map[int]int{443: 8444, 80: 8081}); got != "127.0.0.1:8081->80,127.0.0.1:8444->443" {
		t.Errorf("got %q", got)
	}
	s := listedStatus()
	s.Groups[1].Samples[0].VMs[0].Forwards = map[int]int{80: 8090}
	s.Groups[1].Samples[1].VMs[0].Forwards = map[int]int{80: 8082} // which has an address as well
	var out strings.Builder
	o := printer.As(printer.Table)
	if err := listVMs(s).Print(&out, &o); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "  127.0.0.1:8090->80  kvm2") || !strings.Contains(got, "  10.0.0.2 ") {
		t.Errorf("got\n%s", got)
	}
}
