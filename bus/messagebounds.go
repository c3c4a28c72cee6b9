package bus

import (
	"fmt"
	"math"
)

func (s *Sample) bounds() error {
	var b bounds
	b.name("group", s.Group, MaxName)
	b.name("host_id", string(s.HostID), maxHostName)
	b.name("host", s.Host, maxHostName)
	b.name("instance", s.Instance, maxID)
	b.name("spec_hash", s.SpecHash, maxWord)
	b.number("elapsed_ms", s.ElapsedMS, math.MaxFloat64)
	b.count("vms", len(s.VMs), MaxVMs)
	h := s.HostLoad
	b.known("host_load.cpu_percent", h.CPUPercent, maxPercent)
	b.number("host_load.cores", float64(h.Cores), maxVCPUs)
	b.number("host_load.memory_mib", float64(h.MemoryMiB), maxMemoryMiB)
	b.knownInt("host_load.memory_free_mib", h.MemoryFreeMiB, maxMemoryMiB)
	b.knownInt("host_load.memory_promised_mib", h.MemoryPromisedMiB, maxMemoryMiB)
	b.knownInt("host_load.pool_free_mib", h.PoolFreeMiB, math.MaxInt64)
	b.name("host_load.domain", h.Domain, maxWord)
	for i := range s.VMs {
		if b.err != nil {
			return fmt.Errorf("sample: %w", b.err)
		}
		vm := &s.VMs[i]
		b.name("vms.name", vm.Name, MaxName)
		b.name("vms.uuid", vm.UUID, maxWord)
		b.name("vms.state", string(vm.State), maxWord)
		b.name("vms.phase", string(vm.Phase), maxWord)
		b.name("vms.template", vm.Template, longestName)
		b.name("vms.machine", vm.Machine, maxWord)
		b.name("vms.storage", vm.Storage, maxWord)
		b.order("vms.order", vm.Order)
		b.text("vms.error", vm.Error)
		b.known("vms.cpu_percent", vm.CPUPercent, maxPercent)
		b.known("vms.run_delay_percent", vm.RunDelayPercent, maxPercent)
		b.number("vms.vcpus", float64(vm.VCPUs), maxVCPUs)
		b.number("vms.memory_mib", float64(vm.MemoryMiB), maxMemoryMiB)
		b.knownInt("vms.memory_used_mib", vm.MemoryUsedMiB, maxMemoryMiB)
		b.address("vms.address", vm.Address)
		b.count("vms.forwards", len(vm.Forwards), MaxNICs*MaxForwards)
		for guest, host := range vm.Forwards {
			b.number("vms.forwards", float64(guest), math.MaxUint16)
			b.number("vms.forwards", float64(host), math.MaxUint16)
		}
		if r := vm.Rates; r != nil {
			b.known("vms.rates.network_rx_mib_s", r.NetworkRx, maxRate)
			b.known("vms.rates.network_tx_mib_s", r.NetworkTx, maxRate)
			b.known("vms.rates.disk_read_mib_s", r.DiskRead, maxRate)
			b.known("vms.rates.disk_write_mib_s", r.DiskWrite, maxRate)
		}
	}
	return b.of("sample")
}

func (d *Decision) bounds() error {
	var b bounds
	b.name("group", d.Group, MaxName)
	b.name("id", d.ID, maxID)
	b.name("direction", string(d.Direction), maxWord)
	b.name("rule", string(d.Rule), maxWord)
	b.name("guard", string(d.Guard), maxWord)
	b.name("spec_hash", d.SpecHash, maxWord)
	b.name("cluster_id", d.ClusterID, maxWord)
	b.text("sentence", d.Sentence)
	b.number("current", float64(d.Current), maxDesired)
	b.number("desired", float64(d.Desired), maxDesired)
	b.count("shares", len(d.Shares), MaxHosts)
	for host, share := range d.Shares {
		b.name("shares", string(host), maxHostName)
		b.name("shares.host", share.Host, maxHostName)
		b.number("shares.vms", float64(share.VMs), maxDesired)
		b.count("shares.numbers", len(share.Numbers), maxElements)
		b.number("shares.retire", float64(share.Retire), maxDesired)
		b.number("shares.restart", float64(share.Restart), maxDesired)
		if share.Updated != nil {
			b.number("shares.updated", float64(*share.Updated), maxDesired)
		}
		b.number("shares.release", float64(share.Release), maxDesired)
		if share.Serving != nil {
			b.number("shares.serving", float64(*share.Serving), maxDesired)
		}
		b.number("shares.warm", float64(share.Warm), maxDesired)
		b.number("shares.warm_stopped", float64(share.WarmStopped), maxDesired)
		if share.ClockBehindMS != nil {
			b.number("shares.clock_behind_ms", math.Abs(float64(*share.ClockBehindMS)), maxClockMS)
		}
	}
	b.count("wishes", len(d.Recommendations), maxWord)
	for _, w := range d.Recommendations {
		b.name("wishes.policy", string(w.Policy), maxWord)
		b.text("wishes.sentence", w.Sentence)
	}
	b.count("shadow", len(d.Shadow), maxWord)
	for _, w := range d.Shadow {
		b.name("shadow.policy", string(w.Policy), maxWord)
		b.text("shadow.sentence", w.Sentence)
	}
	b.name("machine", d.Machine, maxWord)
	b.count("orders", len(d.Orders), MaxOrders)
	for uuid, o := range d.Orders {
		b.name("orders", uuid, maxWord)
		b.order("orders", &o)
	}
	b.attach(d.Attach)
	b.hosts(d.Hosts)
	b.balance(d.Balance)
	b.text("risk", d.Risk)
	b.count("places", len(d.Places), MaxHosts)
	for _, part := range []interface{ bounds() error }{&d.Controls, d.Refresh} {
		if b.err == nil {
			b.err = part.bounds()
		}
	}
	return b.of("decision")
}

func (c *Controls) bounds() error {
	var b bounds
	b.count("paused", len(c.Paused), maxWord)
	b.name("by", c.By, maxHostName)
	b.reason(c.Reason)
	b.count("said", len(c.Said), maxWord)
	for kind, s := range c.Said {
		b.name("said", string(kind), maxWord)
		b.name("said.by", s.By, maxHostName)
		b.reason(s.Reason)
	}
	b.settings(c.Set)
	b.added(c.Schedule)
	return b.of("controls")
}

// settings are fields of the config that a person has set.
func (b *bounds) settings(set map[string]string) {
	b.count("set", len(set), maxWord)
	for key, value := range set {
		b.name("set", key, MaxName)
		b.text("set."+Clip(key, 80), value)
	}
}

func (e *Event) bounds() error {
	var b bounds
	b.name("group", e.Group, MaxName)
	b.name("vm", e.VM, MaxName)
	b.name("event", string(e.Event), maxWord)
	b.name("host", e.Host, maxHostName)
	b.name("host_id", string(e.HostID), maxHostName)
	b.name("decision_id", e.DecisionID, maxID)
	b.name("token", e.Token, MaxName)
	b.name("hook", e.Hook, maxWord)
	b.name("by", e.By, maxHostName)
	b.reason(e.Reason)
	b.name("cause", string(e.Cause), maxWord)
	b.text("sentence", e.Sentence)
	b.text("error", e.Error)
	b.number("elapsed_ms", float64(e.ElapsedMS), math.MaxInt64)
	b.count("console", len(e.Console), MaxConsoleLines)
	for _, line := range e.Console {
		b.text("console", line)
	}
	return b.of("event")
}

func (h *Health) bounds() error {
	var b bounds
	b.name("stage", h.Stage, maxWord)
	b.name("instance", h.Instance, maxID)
	b.name("host_id", string(h.HostID), maxHostName)
	b.name("version", h.Version, MaxName)
	b.text("message", h.Message)
	b.count("problems", len(h.Problems), maxProblems)
	b.count("calls", len(h.Calls), maxCalls)
	for _, c := range h.Calls {
		b.name("calls.api", c.API, maxWord)
		b.name("calls.call", c.Call, maxWord)
		b.number("calls.sum_ms", c.SumMS, math.MaxFloat64)
		b.count("calls.within", len(c.Within), maxWord)
	}
	for _, p := range h.Problems {
		b.name("code", string(p.Code), maxWord)
		b.name("subject", p.Subject, maxWord)
	}
	if h.Acts != nil {
		b.name("cluster_id", h.Acts.ClusterID, maxWord)
		b.count("hooks", len(h.Acts.Hooks), MaxPendingHooks)
		for _, p := range h.Acts.Hooks {
			b.name("group", p.Group, MaxName)
			b.name("vm", p.VM, MaxName)
			b.name("name", p.Name, maxWord)
			b.name("token", p.Token, maxWord)
		}
		b.templates(h.Acts)
	}
	return b.of("health")
}

func (q *Query) bounds() error {
	var b bounds
	b.name("group", q.Group, MaxName)
	b.count("scopes", len(q.Scopes), maxWord)
	b.count("keys", len(q.Keys), maxWord)
	b.name("by", q.By, maxHostName)
	b.reason(q.Reason)
	b.name("token", q.Token, MaxName)
	b.name("vm", q.VM, MaxName)
	b.name("action", string(q.Action), maxWord)
	b.name("rest", string(q.Rest), maxWord)
	b.name("host", q.Host, maxHostName)
	b.name("host_action", string(q.HostAction), maxWord)
	b.number("count", float64(q.Count), maxDesired)
	b.number("hours", float64(q.Hours), maxDesired)
	b.settings(q.Set)
	b.scheduleOrder(q.Schedule)
	return b.err
}
