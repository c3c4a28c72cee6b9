package decider

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// drawThreshold is a group that the threshold alone scales, without limits, schedule or dry run.
func drawThreshold(t *rapid.T) bus.Group {
	return spec(func(g *bus.Group) {
		g.Min = rapid.IntRange(0, 5).Draw(t, "min")
		g.Max = rapid.IntRange(max(1, g.Min), 8).Draw(t, "max")
		p := &g.Policy
		p.LowerPercent = rapid.Float64Range(0, 60).Draw(t, "lower")
		p.UpperPercent = rapid.Float64Range(p.LowerPercent, 99).Draw(t, "upper")
		p.BreachesOut, p.BreachesIn = rapid.IntRange(1, 3).Draw(t, "breaches out"), rapid.IntRange(1, 3).Draw(t, "breaches in")
		p.CooldownOut = drawSeconds(t, 0, 10, "cooldown out")
		p.CooldownIn = drawSeconds(t, 0, 10, "cooldown in")
		p.Warmup = drawSeconds(t, 0, 10, "warm-up")
	})
}

func drawSeconds(t *rapid.T, least, most int, label string) time.Duration {
	return time.Duration(rapid.IntRange(least, most).Draw(t, label)) * time.Second
}

// drawSpec is a group with any policies, limits and schedule.
func drawSpec(t *rapid.T) bus.Group {
	g := drawThreshold(t)
	p := &g.Policy
	g.Placement = rapid.SampledFrom([]bus.Placement{bus.PlaceSpread, bus.PlacePack, bus.PlaceWeighted}).Draw(t, "placement")
	g.PerHostMax = rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "per host max")
	p.Types = rapid.SliceOfNDistinct(rapid.SampledFrom(policy.Kinds()), 1, len(policy.Kinds()), rapid.ID[bus.PolicyType]).
		Draw(t, "policies")
	p.Setting = rapid.SampledFrom(policy.Settings()).Draw(t, "setting")
	p.Signal = rapid.SampledFrom([]bus.Signal{
		bus.SignalCPU, bus.SignalMemory, bus.SignalMetric, bus.SignalPrometheus, bus.SignalDiskRead, bus.SignalExpression,
	}).Draw(t, "signal")
	p.Metric, p.Expression = "requests", `max(cpu / 60, metric("requests") / 100)`
	p.Steps.Adjustment = rapid.SampledFrom([]bus.Adjustment{bus.AdjustChange, bus.AdjustExact, bus.AdjustPercent}).
		Draw(t, "adjustment")
	if rapid.Bool().Draw(t, "learned warm-up") {
		p.Warmup = bus.WarmupLearned
	}
	if rapid.Bool().Draw(t, "limits") {
		p.Limits = bus.Limits{
			TolerancePercent: rapid.SampledFrom([]float64{0, 10, 50}).Draw(t, "tolerance"),
			StabilizeOut:     drawSeconds(t, 0, 20, "stabilize out"), StabilizeIn: drawSeconds(t, 0, 20, "stabilize in"),
			RateOut: rapid.IntRange(0, 3).
				Draw(t, "rate out"),
			RateIn: rapid.IntRange(0, 3).Draw(t, "rate in"), RateWindow: drawSeconds(t, 1, 20, "rate window"),
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "schedule") == 0 {
		g.Schedule = []bus.ScheduledAction{
			{
				At:      "* * * * *",
				Zone:    "UTC",
				Min:     rapid.Ptr(rapid.IntRange(0, 5), true).Draw(t, "its min"),
				Desired: rapid.Ptr(rapid.IntRange(0, 9), true).Draw(t, "its desired"),
			},
			{At: "2026-05-04T12:01", Zone: "UTC", Desired: rapid.Ptr(rapid.IntRange(0, 9), true).Draw(t, "once desired")},
			{
				At: "*/3 * * * *", Zone: "UTC", From: "2026-05-04T12:03", Until: "2026-05-04T12:06",
				Min: new(rapid.IntRange(0, 5).Draw(t, "bounded min")),
			},
			{At: "*/2 * * * *", Zone: "UTC", Max: new(rapid.IntRange(1, 9).Draw(t, "its max"))},
		}
	}
	g.ScaleIn = drawOrders(t)
	if rapid.Bool().Draw(t, "idle to zero") {
		g.IdleToZero = drawSeconds(t, 1, 10, "after")
	}
	g.WakeFor = drawSeconds(t, 0, 20, "wake for")
	g.DryRun = rapid.IntRange(0, 9).Draw(t, "dry run") == 0
	return g
}

// drawControls are what a person has said.
func drawControls(t *rapid.T, g bus.Group) (c bus.Controls) {
	c.Paused = rapid.SliceOfNDistinct(rapid.SampledFrom(bus.Scopes()), 0, 2, rapid.ID[bus.Scope]).Draw(t, "paused")
	if rapid.Bool().Draw(t, "by hand") {
		c.Desired = new(rapid.IntRange(0, 9).Draw(t, "how many"))
	}
	if rapid.IntRange(0, 3).Draw(t, "set") == 0 {
		c.Set = map[string]string{"max": fmt.Sprint(g.Max)}
	}
	return c
}

func drawObservation(t *rapid.T, now time.Time) Observation {
	var o Observation
	for i := range rapid.IntRange(0, 3).Draw(t, "hosts") {
		name := fmt.Sprintf("kvm%d", i)
		h := HostObservation{ID: bus.HostID(name), Name: name, Time: now}
		for j := range rapid.IntRange(0, 5).Draw(t, "VMs") {
			vm := aged(
				rapid.SampledFrom([]bus.Phase{
					bus.PhaseReady, bus.PhaseReady, bus.PhaseReady, bus.PhaseCreating, bus.PhaseLaunching, bus.PhaseDraining,
					bus.PhaseStopping, bus.PhaseFailed,
				}).Draw(t, "phase"), 0, nil)
			vm.Name = fmt.Sprintf("web-%d%d", i, j)
			vm.State = rapid.SampledFrom([]bus.State{
				bus.StateRunning, bus.StateRunning, bus.StateRunning, bus.StateShutoff, bus.StatePaused, bus.StateUnknown,
			}).Draw(t, "state")
			age := time.Duration(rapid.IntRange(-5, 300).Draw(t, "age")) * time.Second
			vm.Created, vm.PhaseSince = now.Add(-age), now.Add(-age)
			if rapid.IntRange(0, 4).Draw(t, "known") > 0 {
				vm.CPUPercent = new(rapid.Float64Range(0, 400).Draw(t, "cpu"))
			}
			h.VMs = append(h.VMs, vm)
		}
		if rapid.IntRange(0, 9).Draw(t, "fresh") > 0 {
			o.Fresh++
		} else {
			h.Trouble = rapid.SampledFrom([]Trouble{"", Silent, Silent, Contradicted, Unattended}).Draw(t, "trouble")
		}
		h.Quiet = time.Duration(rapid.IntRange(0, 30).Draw(t, "quiet")) * time.Second
		h.Alive = rapid.IntRange(0, 2).Draw(t, "alive") == 0
		if rapid.IntRange(0, 9).Draw(t, "ordered") == 0 {
			action := rapid.SampledFrom([]bus.HostAction{bus.HostCordon, bus.HostDrain}).Draw(t, "action")
			h.Order = &bus.HostOrder{Action: action, Since: now}
		}
		h.Full = rapid.IntRange(0, 9).Draw(t, "full") == 0
		o.Hosts = append(o.Hosts, h)
	}
	return o
}

// drawOrders are orders of removal that a group can have.
func drawOrders(t *rapid.T) []bus.ScaleIn {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(bus.ScaleIns()), 1, len(bus.ScaleIns()), rapid.ID[bus.ScaleIn]).
		Draw(t, "scale in")
}
