package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

const (
	namespace  = "vmscaler"
	labelGroup = "group"
	labelHost  = "host"
	labelVM    = "vm"
	labelStage = "stage"
	// labelProcess is a stage's instance, a word that Prometheus has for what it scrapes.
	labelProcess = "process"

	mib = 1 << 20
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// The gauges. What is not known has no series: 0 would say something else.
var (
	groupDesired = desc("group_desired", "Desired capacity in VMs.", labelGroup)
	groupMin     = desc("group_min", "Least VMs that the group may have now.", labelGroup)
	groupMax     = desc("group_max", "Most VMs that the group may have now.", labelGroup)
	groupReady   = desc(
		"group_ready",
		"VMs that are ready, run, and are past their warm-up, as the decider counts them.",
		labelGroup,
	)
	groupCPU   = desc("group_cpu_ratio", "Mean CPU use of the ready VMs; 1 is all their vCPUs.", labelGroup)
	groupLower = desc(
		"group_cpu_lower_ratio",
		"CPU use below which the group may shrink, where its policies have one.",
		labelGroup,
	)
	groupUpper   = desc("group_cpu_upper_ratio", "CPU use above which the group may grow, or its target.", labelGroup)
	groupUnknown = desc("group_unknown_cpu", "Ready VMs whose CPU use is unknown.", labelGroup)
	groupDryRun  = desc("group_dry_run", "1 while the group is only decided for, and nothing is done.", labelGroup)
	groupPaused  = desc("group_paused", "1 while a person has paused the scope.", labelGroup, "scope")
	groupAge     = desc("group_decision_age_seconds", "Time since the newest decision was heard.", labelGroup)
	groupRefresh = desc("group_refresh_vms", "VMs in the refresh that goes on, or in the last one.", labelGroup, "state")

	groupHost = desc("group_host_state", "1 for the state in which a host stands with a group, if it is not just up.", labelGroup,
		labelHost, "state")
	groupLost = desc("group_lost_vms", "VMs on lost hosts whose places others take.", labelGroup)

	groupBlind  = desc("group_blind", "1 while a group is held as no fresh sample comes.", labelGroup)
	groupActive = desc("group_refresh_active", "1 while a refresh of the group goes on.", labelGroup)
	groupHeld   = desc(
		"group_held",
		"1 while an actuator holds the group back: its launch breaker is open, its removal budget is spent, or a host has no room.",
		labelGroup,
		"problem",
	)
	launchFailures = desc(
		"launch_failures_total",
		"Launches that have failed since the actuator started.",
		labelGroup,
		labelProcess,
	)

	callDuration = desc(
		"stage_call_duration_seconds",
		"Duration of the calls that a stage has made since it started: of libvirt, without what they wait for their turn, "+
			"and of the bus.",
		"api",
		"call",
		labelProcess,
		labelStage,
	)

	groupVMs  = desc("group_vms", "VMs by phase.", labelGroup, labelHost, "phase")
	sampleAge = desc("sample_age_seconds", "Time since the newest sample was heard.", labelGroup, labelHost)

	vmCPU    = desc("vm_cpu_ratio", "CPU use of a VM; 1 is all its vCPUs.", labelGroup, labelHost, labelVM)
	vmMemory = desc("vm_memory_used_bytes", "Memory that a VM's guest uses.", labelGroup, labelHost, labelVM)
	vmDelay  = desc(
		"vm_run_delay_ratio",
		"Share of time for which a VM's vCPUs waited for a core of the host.",
		labelGroup,
		labelHost,
		labelVM,
	)

	hostCPU      = desc("host_cpu_ratio", "CPU use of the host; 1 is all its cores.", labelHost)
	hostCores    = desc("host_cores", "Cores of the host.", labelHost)
	hostMemory   = desc("host_memory_bytes", "Memory of the host.", labelHost)
	hostFree     = desc("host_memory_free_bytes", "Memory of the host that new VMs can have.", labelHost)
	hostPromised = desc("host_memory_promised_bytes", "Memory that running VMs were given and have not touched yet.", labelHost)
	hostClock    = desc(
		"host_clock_skew_seconds",
		"How far the host's clock is ahead of the decider's; less than 0 is behind.",
		labelHost,
	)
	hostPool = desc("host_pool_free_bytes", "Free space of the storage pool of the VMs' disks.", labelHost)

	stageUp      = desc("stage_up", "1 while a stage's process gives signs of life.", labelStage, labelProcess)
	stageHealthy = desc("stage_healthy", "1 while a stage's process says that all is well.", labelStage, labelProcess)
	stageDropped = desc(
		"stage_dropped_messages_total",
		"Messages that a stage's process did not use since its start.",
		labelStage,
		labelProcess,
	)
	stageProblem = desc(
		"stage_problem",
		"1 for each problem that a stage's process names.",
		labelStage,
		labelProcess,
		"problem",
		"subject",
	)
)

// series writes samples of one scrape.
type series struct {
	out   chan<- prometheus.Metric
	hosts map[bus.HostID]string // their labels
}

// hostLabels are the hosts' names, with their ids where several have one name. A decision can name one that was not heard yet.
func hostLabels(m *model.Model) map[bus.HostID]string {
	labels, named := map[bus.HostID]string{}, map[string]int{}
	add := func(id bus.HostID, name string) {
		if _, seen := labels[id]; !seen {
			labels[id] = name
			named[name]++
		}
	}
	for _, g := range m.Groups() {
		for _, h := range g.Hosts() {
			add(h.Sample().HostID, h.Sample().Host)
		}
	}
	for _, g := range m.Groups() {
		d, _ := g.Decision()
		for id, h := range d.Hosts {
			add(id, h.Host)
		}
	}
	for id, name := range labels {
		if named[name] > 1 {
			labels[id] = name + " " + string(id)
		}
	}
	return labels
}

func (s series) gauge(d *prometheus.Desc, value float64, labels ...string) {
	m, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, value, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	s.out <- m
}

func (s series) counter(d *prometheus.Desc, value float64, labels ...string) {
	m, err := prometheus.NewConstMetric(d, prometheus.CounterValue, value, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	s.out <- m
}

func (s series) histogram(d *prometheus.Desc, count uint64, sum float64, buckets map[float64]uint64, labels ...string) {
	m, err := prometheus.NewConstHistogram(d, count, sum, buckets, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	s.out <- m
}

func (s series) known(d *prometheus.Desc, value *float64, unit float64, labels ...string) {
	if value != nil {
		s.gauge(d, *value*unit, labels...)
	}
}

func (s series) mebibytes(d *prometheus.Desc, n *int, labels ...string) {
	if n != nil {
		s.gauge(d, float64(*n)*mib, labels...)
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (s series) group(g *model.Group, now time.Time) {
	d, known := g.Decision()
	if !known {
		return
	}
	name := g.Name()
	age, holds := g.DecisionAge(now)
	s.gauge(groupAge, age.Seconds(), name)
	if !holds || !d.HasSample {
		return
	}
	s.gauge(groupDesired, float64(d.Desired), name)
	s.gauge(groupMin, float64(d.Inputs.Min), name)
	s.gauge(groupMax, float64(d.Inputs.Max), name)
	s.gauge(groupReady, float64(d.Inputs.Ready), name)
	s.gauge(groupUnknown, float64(d.Inputs.Unknown), name)
	s.gauge(groupDryRun, truth(d.Controls.DryRun), name)
	s.gauge(groupBlind, truth(d.Rule == bus.RuleBlind), name)
	s.gauge(groupActive, truth(d.Refresh.Active()), name)
	s.known(groupCPU, d.Inputs.AveragePercent, .01, name)
	if at := g.Thresholds(); len(at) > 0 {
		s.gauge(groupUpper, at[len(at)-1]/100, name)
		if len(at) > 1 {
			s.gauge(groupLower, at[0]/100, name)
		}
	}
	for _, scope := range bus.Scopes() {
		s.gauge(groupPaused, truth(d.Controls.IsPaused(scope)), name, string(scope))
	}
	s.gauge(groupLost, float64(d.Inputs.Lost), name)
	for id, h := range d.Hosts {
		s.gauge(groupHost, 1, name, s.hosts[id], string(h.State))
	}
	if r := d.Refresh; r != nil {
		s.gauge(groupRefresh, float64(r.Updated), name, "updated")
		s.gauge(groupRefresh, float64(r.Outdated), name, "outdated")
	}
}

func (s series) groupOnHost(group string, h *model.Host, now time.Time) {
	sample := h.Sample()
	host := s.hosts[sample.HostID]
	s.gauge(sampleAge, h.Silence(now).Seconds(), group, host)
	if h.Stale(now) {
		return
	}
	phases := map[bus.Phase]int{}
	for _, phase := range bus.Phases() {
		phases[phase] = 0
	}
	for _, vm := range sample.VMs {
		if vm.Phase.Known() {
			phases[vm.Phase]++
		}
	}
	for phase, n := range phases {
		s.gauge(groupVMs, float64(n), group, host, string(phase))
	}
}

func (s series) vms(group string, h *model.Host) {
	sample := h.Sample()
	host := s.hosts[sample.HostID]
	for i, vm := range sample.VMs { // by name; one that is there twice counts once
		if i > 0 && vm.Name == sample.VMs[i-1].Name {
			continue
		}
		s.known(vmCPU, vm.CPUPercent, .01, group, host, vm.Name)
		s.mebibytes(vmMemory, vm.MemoryUsedMiB, group, host, vm.Name)
		s.known(vmDelay, vm.RunDelayPercent, .01, group, host, vm.Name)
	}
}

// load shows the hosts once each, by the newest of their groups' samples.
func (s series) load(m *model.Model, now time.Time) {
	newest, ahead := map[bus.HostID]bus.Sample{}, map[bus.HostID]time.Duration{}
	for _, g := range m.Groups() {
		for _, h := range g.Hosts() {
			sample := h.Sample()
			if d, known := g.ClockAhead(h); known && !h.Stale(now) {
				ahead[sample.HostID] = d
			}
			if was, seen := newest[sample.HostID]; !h.Stale(now) && (!seen || sample.Time.After(was.Time)) {
				newest[sample.HostID] = sample
			}
		}
	}
	for id, d := range ahead {
		s.gauge(hostClock, d.Seconds(), s.hosts[id])
	}
	for id, sample := range newest {
		name, load := s.hosts[id], sample.HostLoad
		s.known(hostCPU, load.CPUPercent, .01, name)
		if load.Cores > 0 {
			s.gauge(hostCores, float64(load.Cores), name)
		}
		if load.MemoryMiB > 0 {
			s.gauge(hostMemory, float64(load.MemoryMiB)*mib, name)
		}
		s.mebibytes(hostFree, load.MemoryFreeMiB, name)
		s.mebibytes(hostPromised, load.MemoryPromisedMiB, name)
		s.mebibytes(hostPool, load.PoolFreeMiB, name)
	}
}

func (s series) stage(stage *model.Stage, now time.Time) {
	h := stage.Health()
	s.gauge(stageUp, truth(!stage.Silent(now)), h.Stage, h.Instance)
	if stage.Silent(now) {
		return
	}
	s.gauge(stageHealthy, truth(h.OK), h.Stage, h.Instance)
	s.counter(stageDropped, float64(h.Dropped), h.Stage, h.Instance)
	s.calls(h)
	if h.Acts != nil {
		for group, n := range h.Acts.Failures {
			s.counter(launchFailures, float64(n), group, h.Instance)
		}
	}
	seen := map[bus.Problem]bool{}
	for _, p := range h.Problems {
		if !seen[p] {
			seen[p] = true
			s.gauge(stageProblem, 1, h.Stage, h.Instance, string(p.Code), p.Subject)
		}
	}
}

// calls shows how long a stage's calls take. What a stage of another version counts by other bounds is left out.
func (s series) calls(h bus.Health) {
	bounds, seen := bus.CallBounds(), map[[2]string]bool{}
	for _, c := range h.Calls {
		key := [2]string{c.API, c.Call}
		if len(c.Within) != len(bounds) || seen[key] {
			continue
		}
		seen[key] = true
		buckets := map[float64]uint64{}
		for i, bound := range bounds {
			buckets[bound.Seconds()] = c.Within[i]
		}
		s.histogram(callDuration, c.Count, c.SumMS/1000, buckets, c.API, c.Call, h.Instance, h.Stage)
	}
}

// held says of each group what holds it back, by the actuators' problems. Without an actuator that is heard nothing is known of
// it.
func (s series) held(m *model.Model, now time.Time) {
	heard, is := false, map[bus.Problem]bool{}
	for _, stage := range m.Stages() {
		h := stage.Health()
		if h.Stage != string(bus.RoleActuator) || stage.Silent(now) {
			continue
		}
		heard = true
		for _, p := range h.Problems {
			is[p] = true
		}
	}
	if !heard {
		return
	}
	for _, g := range m.Groups() {
		for _, code := range []bus.ProblemCode{bus.ProblemLaunchBreaker, bus.ProblemRemovalBudget, bus.ProblemNoRoom} {
			s.gauge(groupHeld, truth(is[bus.Problem{Code: code, Subject: g.Name()}]), g.Name(), string(code))
		}
	}
}
