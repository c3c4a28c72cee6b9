package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// Read gives a model to look, of which nothing is kept when it returns.
type Read func(look func(*model.Model, time.Time))

// Exporter is what the messages say, as metrics: the present of a model, and counts of its own. It is safe for concurrent use.
type Exporter struct {
	perVM bool
	read  Read

	decisions *prometheus.CounterVec
	changes   *prometheus.CounterVec
	events    *prometheus.CounterVec
	blind     *prometheus.CounterVec
	launch    *prometheus.HistogramVec
	removal   *prometheus.HistogramVec
	pass      *prometheus.HistogramVec

	mu      sync.Mutex
	started map[vmKey]time.Time // since when VMs run that are not ready yet
	decided map[string]decided  // by group
}

// vmKey names a VM, which has its name alone while it boots.
type vmKey struct{ group, vm string }

// decided is when a group was decided for last, and whether blindly.
type decided struct {
	at    time.Time
	blind bool
}

const (
	bootsAtMost = 1000             // beyond it the durations of further boots are not known
	longestGap  = 10 * time.Second // between two decisions; a longer one is not the group's, but the bus's
)

// NewExporter is one that has counted nothing yet. perVM adds the series of each VM, some per VM, beside those of groups and
// hosts.
func NewExporter(perVM bool, read Read) *Exporter {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: name, Help: help, Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, labels)
	}
	return &Exporter{
		perVM: perVM, read: read,
		decisions: counter("decisions_total", "Evaluations heard, by what asked for a change and what held it back.",
			labelGroup, "direction", "rule", "guard"),
		changes: counter("desired_changes_total", "Changes of the desired capacity heard.", labelGroup, "direction"),
		events:  counter("lifecycle_events_total", "Lifecycle events heard.", labelGroup, "event"),
		launch: histogram(
			"launch_duration_seconds",
			"Duration of launches: clone is from the clone's begin to a running domain, boot from there until the VM is ready, "+
				"and ready all of it.",
			labelGroup,
			"step",
		),
		blind: counter("group_blind_seconds_total", "Time in which a group was decided for without fresh samples.", labelGroup),
		pass: histogram("sample_pass_duration_seconds",
			"Duration of the collector's passes over all domains of the host: some calls of libvirt for each.", labelGroup, labelHost),
		started: map[vmKey]time.Time{}, decided: map[string]decided{},
		removal: histogram(
			"removal_duration_seconds",
			"Duration of removals, from the choice of a VM until nothing of it is left.",
			labelGroup,
		),
	}
}

// Count counts a message that was news to the model.
func (e *Exporter) Count(message any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch m := message.(type) {
	case bus.Sample:
		e.pass.WithLabelValues(m.Group, m.Host).Observe(m.ElapsedMS / 1000)
	case bus.Decision:
		e.blindness(m)
		e.decisions.WithLabelValues(m.Group, string(m.Direction), string(m.Rule), string(m.Guard)).Inc()
		if m.HasSample && m.Desired != m.Current {
			e.changes.WithLabelValues(m.Group, string(m.Direction)).Inc()
		}
	case bus.Event:
		e.event(m)
	}
}

// blindness adds the time since the decision before, if that had no samples to go by.
func (e *Exporter) blindness(m bus.Decision) {
	before, known := e.decided[m.Group]
	gap := m.Time.Sub(before.at)
	total := e.blind.WithLabelValues(m.Group)
	if known && before.blind && gap > 0 {
		total.Add(min(gap, longestGap).Seconds())
	}
	e.decided[m.Group] = decided{m.Time, m.Rule == bus.RuleNoData || m.Rule == bus.RuleBlind}
}

// boot observes how long a VM took from its start until it was ready.
func (e *Exporter) boot(m bus.Event) {
	key := vmKey{m.Group, m.VM}
	began, known := e.started[key]
	switch {
	case m.Event == bus.EventStarted:
		if len(e.started) < bootsAtMost {
			e.started[key] = m.Time
		}
		return
	case m.Event == bus.EventReady && known && m.Time.After(began):
		e.launch.WithLabelValues(m.Group, "boot").Observe(m.Time.Sub(began).Seconds())
	}
	delete(e.started, key) // also of one that has failed
}

func (e *Exporter) event(m bus.Event) {
	e.boot(m)
	e.events.WithLabelValues(m.Group, string(m.Event)).Inc()
	took := (time.Duration(m.ElapsedMS) * time.Millisecond).Seconds()
	if took <= 0 {
		return
	}
	switch m.Event { //nolint:exhaustive // the others have no duration of their own
	case bus.EventStarted:
		e.launch.WithLabelValues(m.Group, "clone").Observe(took)
	case bus.EventReady:
		e.launch.WithLabelValues(m.Group, "ready").Observe(took)
	case bus.EventRemoved:
		e.removal.WithLabelValues(m.Group).Observe(took)
	}
}

// Forget drops the counters of a group that is gone.
func (e *Exporter) Forget(group string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.decided, group)
	for key := range e.started {
		if key.group == group {
			delete(e.started, key)
		}
	}
	gone := prometheus.Labels{labelGroup: group}
	e.blind.DeletePartialMatch(gone)
	e.pass.DeletePartialMatch(gone)
	e.decisions.DeletePartialMatch(gone)
	e.changes.DeletePartialMatch(gone)
	e.events.DeletePartialMatch(gone)
	e.launch.DeletePartialMatch(gone)
	e.removal.DeletePartialMatch(gone)
}

// Describe implements prometheus.Collector. It describes nothing, as the series depend on what is heard.
func (e *Exporter) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (e *Exporter) Collect(out chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{e.decisions, e.changes, e.events, e.blind, e.launch, e.removal, e.pass} {
		c.Collect(out)
	}
	e.read(func(m *model.Model, now time.Time) { e.present(out, m, now) })
}

// present is what the model knows now.
func (e *Exporter) present(out chan<- prometheus.Metric, m *model.Model, now time.Time) {
	s := series{out, hostLabels(m)}
	for _, g := range m.Groups() {
		s.group(g, now)
		for _, h := range g.Hosts() {
			s.groupOnHost(g.Name(), h, now)
			if e.perVM && !h.Stale(now) {
				s.vms(g.Name(), h)
			}
		}
	}
	s.load(m, now)
	for _, stage := range m.Stages() {
		s.stage(stage, now)
	}
	s.held(m, now)
}
