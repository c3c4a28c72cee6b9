package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// sizes are of a model of which only the present is shown. Its entries are remembered to know a duplicate.
var sizes = model.Sizes{Entries: 500}

// Exporter is what the messages say, as metrics. It is safe for concurrent use.
type Exporter struct {
	perVM bool
	now   func() time.Time

	mu    sync.Mutex
	model *model.Model

	decisions *prometheus.CounterVec
	changes   *prometheus.CounterVec
	events    *prometheus.CounterVec
	launch    *prometheus.HistogramVec
	removal   *prometheus.HistogramVec
}

// NewExporter is one that has heard nothing yet. perVM adds the series of each VM, some per VM, beside those of groups and hosts.
func NewExporter(perVM bool, now func() time.Time) *Exporter {
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
		perVM: perVM, now: now, model: model.New(now(), sizes),
		decisions: counter("decisions_total", "Evaluations heard, by what asked for a change and what held it back.",
			labelGroup, "direction", "rule", "guard"),
		changes: counter("desired_changes_total", "Changes of the desired capacity heard.", labelGroup, "direction"),
		events:  counter("lifecycle_events_total", "Lifecycle events heard.", labelGroup, "event"),
		launch: histogram(
			"launch_duration_seconds",
			"Duration of launches: clone is from the clone's begin to a running domain, ready from the domain's definition on.",
			labelGroup,
			"step",
		),
		removal: histogram(
			"removal_duration_seconds",
			"Duration of removals, from the choice of a VM until nothing of it is left.",
			labelGroup,
		),
	}
}

// Fold takes a message.
func (e *Exporter) Fold(message any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.model.Fold(message, e.now()) {
		return
	}
	switch m := message.(type) {
	case bus.Decision:
		e.decisions.WithLabelValues(m.Group, string(m.Direction), string(m.Rule), string(m.Guard)).Inc()
		if m.HasSample && m.Desired != m.Current {
			e.changes.WithLabelValues(m.Group, string(m.Direction)).Inc()
		}
	case bus.Event:
		e.event(m)
	}
}

func (e *Exporter) event(m bus.Event) {
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

// Forget drops what was silent for too long, with the counters of groups that are gone.
func (e *Exporter) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.model.Groups()
	e.model.Forget(e.now())
	for _, g := range before {
		if e.model.Group(g.Name()) != nil {
			continue
		}
		gone := prometheus.Labels{labelGroup: g.Name()}
		e.decisions.DeletePartialMatch(gone)
		e.changes.DeletePartialMatch(gone)
		e.events.DeletePartialMatch(gone)
		e.launch.DeletePartialMatch(gone)
		e.removal.DeletePartialMatch(gone)
	}
}

// Describe implements prometheus.Collector. It describes nothing, as the series depend on what is heard.
func (e *Exporter) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (e *Exporter) Collect(out chan<- prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range []prometheus.Collector{e.decisions, e.changes, e.events, e.launch, e.removal} {
		c.Collect(out)
	}
	now := e.now()
	s := series{out, hostLabels(e.model)}
	for _, g := range e.model.Groups() {
		s.group(g, now)
		for _, h := range g.Hosts() {
			s.groupOnHost(g.Name(), h, now)
			if e.perVM && !h.Stale(now) {
				s.vms(g.Name(), h)
			}
		}
	}
	s.load(e.model, now)
	for _, stage := range e.model.Stages() {
		s.stage(stage, now)
	}
}

// Readiness is why the figures are not to be relied on, "" where they are: a sample and a decision of each group have come
// lately.
func (e *Exporter) Readiness() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	groups := e.model.Groups()
	if len(groups) == 0 {
		return "nothing was heard of any group yet"
	}
	for _, g := range groups {
		if _, holds := g.DecisionAge(now); !holds {
			return "group " + g.Name() + " has no decision that holds"
		}
		fresh := false
		for _, h := range g.Hosts() {
			fresh = fresh || !h.Stale(now)
		}
		if !fresh {
			return "group " + g.Name() + " has no fresh sample"
		}
	}
	return ""
}
