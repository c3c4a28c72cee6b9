package bustest

import (
	"fmt"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Noon is the time of the examples.
var Noon = time.Date(2026, 5, 4, 12, 0, 0, 250_000_000, time.UTC)

// Sample is an example of its message, as are the others; each is in bus/testdata as JSON.
func Sample() *bus.Sample {
	return &bus.Sample{
		V: bus.Version, Group: "web", HostID: "4c4c4544-0035-4e10-8051-b7c04f4a3032-system", Host: "kvm1.example.org",
		Instance: "kvm1.example.org-4711-ZQ3FJA", Time: Noon,
		VMs: []bus.VM{
			{
				Name: "web-1", State: bus.StateRunning, Phase: bus.PhaseReady, CPUPercent: new(83.4), VCPUs: 2, MemoryMiB: 1024,
				MemoryUsedMiB: new(512), RunDelayPercent: new(1.5), Address: "192.168.122.7", Forwards: map[int]int{80: 8081},
				Rates:   &bus.Rates{NetworkRx: new(1.25), NetworkTx: new(8.5), DiskRead: new(0.), DiskWrite: nil},
				UUID:    "5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11",
				Created: Noon.Add(-10 * time.Minute), PhaseSince: Noon.Add(-9 * time.Minute),
				BootedAt: new(Noon.Add(-9 * time.Minute)), RebootedAt: new(Noon.Add(-2 * time.Minute)),
				Template: "web-12", Machine: "89abcdef0123",
				Storage: "456789abcdef", RestartedAt: new(Noon.Add(-10 * time.Minute)),
				Order: &bus.VMOrder{
					Verb: bus.VMReplace, By: "ann@kvm1.example.org", Reason: "its disk is slow", At: Noon.Add(-time.Minute),
				},
			},
			{
				Name: "web-2", State: bus.StateRunning, Phase: bus.PhaseLaunching, VCPUs: 2, MemoryMiB: 1024,
				UUID: "a1b2c3d4-0000-4000-8000-00000000000a", Created: Noon.Add(-4 * time.Second), PhaseSince: Noon.Add(-3 * time.Second),
				Error: "read the info of domain web-2: timed out",
			},
		},
		HostLoad: bus.Host{
			CPUPercent:        new(41.7),
			Cores:             8,
			MemoryMiB:         32000,
			MemoryFreeMiB:     new(20480),
			MemoryPromisedMiB: new(1536),
			PoolFreeMiB:       new(512000),
			Domain:            "rack1",
		},
		ElapsedMS: 4.231, SpecHash: "0123456789ab",
	}
}

// Decision is an example.
func Decision() *bus.Decision {
	return &bus.Decision{
		V: bus.Version, Group: "web", Direction: bus.Out, Current: 2, Desired: 3, Sentence: "scaling out: average 83 % > 70 % for 3 s",
		Rule: bus.RuleAboveUpper, Guard: bus.GuardCooldown,
		Inputs: bus.Inputs{
			AveragePercent: new(83.4), ProjectedPercent: new(83.4), UpperPercent: 70, LowerPercent: 20, Min: 1, Max: 5,
			Owned: 2, Lost: 1, Ready: 2, Launching: 1, Warming: 1, Unknown: 1, Protected: 1, Overdue: 1,
			Warm: 1, WarmWanted: 1,
			Breaches: 3, BreachesNeeded: 3, BootMS: 11200,
			WarmupMS: new(int64(5000)), CooldownMS: 1500, RunDelayPercent: new(1.5), Metric: "requests", MetricValue: new(118.5),
			IdleMS: new(int64(240000)), IdleToZeroMS: 900000, WokenUntil: new(Noon.Add(15 * time.Minute)),
			Metrics: map[string]*float64{"requests": new(118.5), "queue": nil}, Expression: new(1.25),
		},
		Recommendations: []bus.Recommendation{
			{Policy: bus.PolicyPredictive, Desired: 3, Sentence: "load 1.6 VMs, 1.7 expected in 16 s with a margin of 0.4"},
		},
		Shadow: []bus.Recommendation{{Policy: bus.PolicyStep, Desired: 2, Sentence: "average 83 % > 70 %, 1 of 3 readings"}},
		Shares: map[bus.HostID]bus.Share{
			"4c4c4544-0035-4e10-8051-b7c04f4a3032-system": {
				Host: "kvm1.example.org", VMs: 2, Numbers: []int{4, 5, 7}, Warm: 1, ClockBehindMS: new(int64(-3_600_004)),
			},
			"f2cb6a1e-9a3f-5d0a-b1c2-0d9e8f7a6b54-session-1000": {Host: "kvm2.example.org", VMs: 1, Numbers: []int{3, 6, 8}},
		}, HasSample: true,
		Controls: bus.Controls{
			Paused: []bus.Scope{bus.ScopeIn},
			DryRun: true,
			Set:    map[string]string{"policy.upper": "60"},
			By:     "ann@kvm1.example.org",
			Reason: "launch at 9",
			Said: map[bus.Control]bus.Saying{
				bus.ControlPaused: {By: "ann@kvm1.example.org", Reason: "launch at 9", Since: Noon.Add(-time.Hour)},
				bus.ControlSet:    {By: "bob@kvm2.example.org", Since: Noon.Add(-2 * time.Hour)},
			},
			Since: new(Noon.Add(-time.Hour)), ScheduleAt: new(Noon.Add(-time.Hour)),
			Schedule: map[string]bus.AddedAction{"launch": {
				Action: bus.ScheduledAction{
					At: "0 9 * * MON-FRI", Zone: "Europe/Berlin", From: "2026-05-04T14:00", Until: "2026-05-08",
					Min: new(3), Max: new(8), Desired: new(3),
				},
				Said: bus.Saying{By: "ann@kvm1.example.org", Reason: "launch at 9", Since: Noon.Add(-time.Hour)},
			}},
		}, ID: "web-1777896000250-17",
		Machine: "a1b2c3d4e5f6", Refresh: Refresh(), Orders: map[string]bus.VMOrder{
			"5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11": {
				Verb: bus.VMReplace, By: "ann@kvm1.example.org", Reason: "its disk is slow", At: Noon.Add(-time.Minute), VM: "web-1",
			},
		},
		Attach: []bus.Attachment{{
			VM: "web-6", HostID: "4c4c4544-0035-4e10-8051-b7c04f4a3032-system", By: "ann@kvm1.example.org", Reason: "looked at",
			At: Noon.Add(-time.Second), Until: Noon.Add(29 * time.Second), KeepSize: true,
		}},
		Balance: &bus.Balance{
			State: bus.BalanceMoving, Sentence: "web-1 on kvm1 is replaced elsewhere: kvm1 has 4 VMs, and kvm2 1",
		},
		Risk: "without host kvm1.example.org, which has 2 VMs, the others have places for 0 of min 1",
		Places: []bus.Place{
			{
				Host: "kvm1.example.org", HostID: "4c4c4544-0035-4e10-8051-b7c04f4a3032-system", VMs: 2, Score: 2, Domain: "rack1",
				DomainVMs: 2,
			},
			{
				Host: "kvm2.example.org", HostID: "f2cb6a1e-9a3f-5d0a-b1c2-0d9e8f7a6b54-session-1000", VMs: 1, Score: 1,
				Why: "a person wants no new VM there",
			},
		},
		Hosts: map[bus.HostID]bus.HostStanding{
			"f2cb6a1e-9a3f-5d0a-b1c2-0d9e8f7a6b54-session-1000": {
				Host: "kvm2.example.org", State: bus.HostLost, Since: Noon.Add(-time.Minute), Replaced: 1,
				Reason: "no sample and no sign of life for 72 s",
				Order: &bus.HostOrder{
					Action: bus.HostCordon, By: "ann@kvm1.example.org", Reason: "new memory", Since: Noon.Add(-time.Hour),
				},
			},
		},
		Term: 1777896000250, Seq: 42, Time: Noon, ExpiresAt: Noon.Add(5 * time.Second), SpecHash: "0123456789ab",
		ClusterID: "5f0c2b9a71e4d386",
	}
}

// Refresh is an example.
func Refresh() *bus.Refresh {
	return &bus.Refresh{
		ID: "web-refresh-1777892400250", Phase: bus.RefreshRunning, Strategy: bus.RefreshReplace,
		Sentence: "1 of 3 VMs are up to date", Machine: "a1b2c3d4e5f6",
		From: "web-1", Returned: true, Before: new(Noon), Total: 3, Updated: 1, Outdated: 2, Failures: 1, Alarms: 1, MaxSurge: 1,
		MinHealthyPercent: 100, Checkpoints: []int{50}, CheckpointDelayMS: 300000, BakeMS: 60000,
		By: "ann@kvm1.example.org", Reason: "security update",
		Started: Noon.Add(-time.Hour), Since: Noon.Add(-time.Hour),
	}
}

// Event is an example.
func Event() *bus.Event {
	return &bus.Event{
		V: bus.Version, Group: "web", VM: "web-3", Event: bus.EventFailed, Sentence: "launching failed, next try in 1s", ElapsedMS: 412,
		Error: "create volume web-3.5c0d2a9e.qcow2: no space left", Host: "kvm1.example.org", DecisionID: "web-1777896000250-17",
		Time: Noon, Deadline: new(Noon.Add(time.Minute)), Token: "K3VN4TQF2WJ6X7YBZL5A", Hook: "dns",
		Console: []string{"[    1.204311] EXT4-fs (vda2): mounted filesystem", "Kernel panic - not syncing: no working init found"},
		By:      "ann@kvm1.example.org", Reason: "its disk is slow", Cause: bus.CauseRebalance,
	}
}

// Health is an example.
func Health() *bus.Health {
	return &bus.Health{
		V: bus.Version, Stage: "actuator", Instance: "kvm1.example.org-4711", OK: false, Dropped: 2,
		Message:  "group web: no room for another VM: it needs 512 MiB of memory, and 300 MiB are free",
		Problems: []bus.Problem{{Code: bus.ProblemNoRoom, Subject: "web"}},
		Calls: []bus.CallTime{
			{API: bus.APILibvirt, Call: "start", Count: 3, SumMS: 1240.5, Within: []uint64{0, 0, 0, 0, 2, 3, 3, 3}},
		},
		Acts: &bus.Acts{
			HostID:   "4c4c4544-0035-4e10-8051-b7c04f4a3032-system",
			Full:     []string{"web"},
			Taken:    map[string][]int{"web": {2}},
			Failures: map[string]int{"web": 1}, ClusterID: "5f0c2b9a71e4d386", Term: 1777896000250,
			Hooks: []bus.PendingHook{{
				Group: "web", VM: "web-3", Hook: bus.HookLaunch, Name: "lb", WaitFor: bus.WaitForBus,
				Token: "K3VN4TQF2WJ6X7YBZL5AAAAAAA", Since: Noon.Add(-time.Minute), Until: Noon.Add(4 * time.Minute),
			}},
			Templates: []bus.HostTemplate{{
				Name: "web:4", State: bus.TemplateFetching, SHA256: strings.Repeat("5d", 32), SizeBytes: 734003200,
				DonePercent: 40, From: "kvm2.example.org",
			}},
			Serves: &bus.TemplateServer{
				Host: "kvm1.example.org", Addresses: []string{"192.0.2.11:4223"}, Fingerprint: strings.Repeat("a7", 32),
			},
		},
		Since: Noon.Add(-time.Hour), Time: Noon, Version: "v0.3.0",
	}
}

// Metric is an example.
func Metric() *bus.Metric {
	return &bus.Metric{V: bus.Version, Group: "web", Name: "requests", Value: new(118.5)}
}

// Demand is an example.
func Demand() *bus.Demand {
	return &bus.Demand{
		V: bus.Version, Group: "web", Time: Noon.Truncate(time.Minute), StepS: 10, Load: []*float64{new(1.634), nil},
		Ready: []*int{new(2), nil},
		Owned: []*int{new(3), nil},
	}
}

// GuestLoad is an example.
func GuestLoad() *bus.GuestLoad {
	return &bus.GuestLoad{
		V: bus.Version, Group: "web", HostID: "4c4c4544-0035-4e10-8051-b7c04f4a3032-system", Time: Noon,
		Percent: map[string]float64{"5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11": 135.5},
		Unknown: map[string]string{"a1b2c3d4-0000-4000-8000-00000000000a": "its guest agent does not answer"},
	}
}

// Victims is an example.
func Victims() *bus.Victims {
	return &bus.Victims{
		V: bus.Version, Group: "web", Hook: "jobs", Count: 1, HostID: "4c4c4544-0035-4e10-8051-b7c04f4a3032-system",
		Candidates: []bus.Candidate{
			{
				Name: "web-1", UUID: "5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11", Created: Noon.Add(-time.Hour), Template: "web-12",
				CPUPercent: new(3.5), Outdated: true,
			},
			{Name: "web-2", UUID: "a1b2c3d4-0000-4000-8000-00000000000a", Created: Noon.Add(-time.Minute), Template: "web-13"},
		},
		Host: "kvm1.example.org", DecisionID: "web-1777896000250-17", Time: Noon, Deadline: Noon.Add(5 * time.Second),
	}
}

// VictimsAnswer is an example.
func VictimsAnswer() *bus.VictimsAnswer {
	return &bus.VictimsAnswer{V: bus.Version, VMs: []string{"a1b2c3d4-0000-4000-8000-00000000000a"}}
}

// Status is an example.
func Status() *bus.Status {
	return &bus.Status{
		V: bus.Version, Time: Noon, Stages: []bus.Health{*Health()}, ClusterID: "5f0c2b9a71e4d386",
		Groups: []bus.GroupStatus{{
			Group: "web", Decision: Decision(), Samples: []bus.Sample{*Sample()},
			ClockAheadS: map[bus.HostID]float64{Sample().HostID: -0.012}, Template: "web-12",
		}},
	}
}

// Fleet is a sample with many VMs, each as wordy as they are.
func Fleet(vms int, name string) *bus.Sample {
	s := Sample()
	vm := s.VMs[0]
	vm.Order, vm.Rates = nil, nil // few have them
	s.VMs = nil
	for i := range vms {
		vm.Name = fmt.Sprintf("%s-%d", name, i)
		s.VMs = append(s.VMs, vm)
	}
	return s
}

// DecisionOf is one with as many hosts, whose names are as long as hosts' are.
func DecisionOf(hosts int) *bus.Decision {
	d := Decision()
	d.Shares = map[bus.HostID]bus.Share{}
	for i := range hosts {
		id := fmt.Sprintf("5c0d2a9e-7f0b-4e53-9d6a-%012d.qemu", i)
		d.Shares[bus.HostID(id)] = bus.Share{Host: "kvm.example.org", VMs: i, Numbers: []int{}}
	}
	d.Sentence = strings.Repeat("why ", bus.MaxText)
	return d
}
