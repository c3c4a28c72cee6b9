package metrics

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// listener is an exporter with the model that it shows.
type listener struct {
	*Exporter
	model *model.Model
	now   time.Time
}

func newListener(perVM bool) *listener {
	l := &listener{now: bustest.Noon}
	l.model = model.New(l.now, model.Sizes{Entries: 10})
	l.Exporter = NewExporter(perVM, func(look func(*model.Model, time.Time)) { look(l.model, l.now) })
	return l
}

func (l *listener) Fold(message any) {
	if l.model.Fold(message, l.now) {
		l.Count(message)
	}
}

// goOn has it hear a sample and a decision each second, for so many of them; the host's clock is ahead.
func (l *listener) goOn(s bus.Sample, d bus.Decision, seconds int, ahead time.Duration) {
	for range seconds {
		l.now = l.now.Add(time.Second)
		s.Time, d.Time, d.ExpiresAt, d.Seq = l.now.Add(ahead), l.now, l.now.Add(5*time.Second), d.Seq+1
		l.Fold(s)
		l.Fold(d)
	}
}

// heard is one that has heard one message of each kind.
func heard(t *testing.T, perVM bool) *listener {
	t.Helper()
	e := newListener(perVM)
	s, d, h := bustest.Sample(), bustest.Decision(), bustest.Health()
	e.Fold(*s)
	e.Fold(*d)
	e.Fold(*h)
	launched := bustest.EventAt("web", "web-1", e.now)
	launched.Event, launched.ElapsedMS = bus.EventReady, 4200
	e.Fold(*launched)
	e.Fold(*launched) // a duplicate counts once
	return e
}

func text(t *testing.T, e prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(e)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			line := f.GetName()
			for _, l := range m.GetLabel() {
				line += " " + l.GetName() + "=" + l.GetValue()
			}
			value, err := json.Marshal(m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetHistogram().GetSampleSum())
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line+" "+string(value))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestExporter(t *testing.T) {
	e := heard(t, true)
	got := text(t, e)
	s, d := bustest.Sample(), bustest.Decision()
	for _, want := range []string{
		"vmscaler_group_desired group=web 3\n",
		"vmscaler_group_vms group=web host=" + s.Host + " phase=failed 0\n",
		"vmscaler_launch_duration_seconds group=web step=ready 4.2\n",
		"vmscaler_lifecycle_events_total event=ready group=web 1\n",
		"vmscaler_decisions_total direction=" + string(d.Direction) + " group=web guard=" + string(d.Guard) +
			" rule=" + string(d.Rule) + " 1\n",
		"vmscaler_vm_cpu_ratio group=web host=" + s.Host + " vm=" + s.VMs[0].Name + " ",
		"vmscaler_host_memory_bytes host=" + s.Host + " ",
		"vmscaler_stage_up process=" + bustest.Health().Instance + " stage=" + bustest.Health().Stage + " 1\n",
		"vmscaler_group_paused group=web scope=out ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	problems, err := testutil.CollectAndLint(e)
	if err != nil || len(problems) > 0 {
		t.Errorf("%+v, %v", problems, err)
	}

	// What is not known any more has no value, least of all 0.
	e.now = e.now.Add(time.Hour)
	got = text(t, e)
	for _, gone := range []string{
		"group_desired", "group_cpu_ratio", "group_vms", "vm_cpu_ratio", "host_cpu_ratio",
		"stage_healthy",
	} {
		if strings.Contains(got, "vmscaler_"+gone+" ") {
			t.Errorf("%s is still there in\n%s", gone, got)
		}
	}
	if !strings.Contains(got, "vmscaler_group_decision_age_seconds group=web 3600") ||
		!strings.Contains(got, " stage="+bustest.Health().Stage+" 0\n") {
		t.Errorf("nothing says how old it is:\n%s", got)
	}
	e.now = e.now.Add(24 * time.Hour)
	e.model.Forget(e.now)
	e.Forget("web")
	if got = text(t, e); got != "\n" {
		t.Errorf("after a day there is still\n%s", got)
	}
}

// How long a group was blind, and how long VMs took to boot, is of what was heard in between.
func TestBetween(t *testing.T) {
	e := newListener(false)
	at := func(second float64) time.Time { return bustest.Noon.Add(time.Duration(second * float64(time.Second))) }
	for i, rule := range []bus.Rule{bus.RuleStable, bus.RuleNoData, bus.RuleBlind, bus.RuleBlind, bus.RuleStable, bus.RuleStable} {
		d := bustest.Decision()
		d.Rule, d.Seq, d.Time, d.ExpiresAt = rule, d.Seq+uint64(i), at(2*float64(i)), at(2*float64(i)+10) //nolint:gosec // a few
		e.Fold(*d)
	}
	for _, step := range []struct {
		event  bus.EventType
		second float64
	}{
		{bus.EventStarted, 1},
		{bus.EventReady, 8.5},
		{bus.EventReady, 9},
		{bus.EventStarted, 10},
		{bus.EventFailed, 11},
		{bus.EventReady, 12},
	} {
		event := bustest.EventAt("web", "web-1", at(step.second))
		event.Event, event.ElapsedMS = step.event, 0
		e.Fold(*event)
	}
	got := text(t, e)
	for _, want := range []string{
		"vmscaler_group_blind_seconds_total group=web 6\n", "vmscaler_launch_duration_seconds group=web step=boot 7.5\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// What holds a group is 1 or 0 while an actuator is heard, and not known without one.
func TestHeld(t *testing.T) {
	e := heard(t, false)
	got := text(t, e)
	for _, want := range []string{
		"vmscaler_group_held group=web problem=no-room 1\n", "vmscaler_group_held group=web problem=launch-breaker 0\n",
		"vmscaler_launch_failures_total group=web process=kvm1.example.org-4711 1\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	e.now = e.now.Add(time.Minute)
	if got := text(t, e); strings.Contains(got, "group_held") {
		t.Errorf("without an actuator:\n%s", got)
	}
}

func TestWithoutVMs(t *testing.T) {
	e := heard(t, false)
	if got := text(t, e); strings.Contains(got, "vmscaler_vm_") || !strings.Contains(got, "vmscaler_group_vms ") {
		t.Errorf("per VM:\n%s", got)
	}
}

// An unknown CPU has no series, and a readable one that is 0 has.
func TestUnknownIsNotZero(t *testing.T) {
	e := newListener(true)
	s := bustest.Sample()
	s.VMs = slices.Clone(s.VMs[:1])
	s.VMs[0].CPUPercent, s.HostLoad.CPUPercent = nil, nil
	e.Fold(*s)
	if got := text(t, e); strings.Contains(got, "cpu_ratio") {
		t.Errorf("unknown:\n%s", got)
	}
	s.VMs[0].CPUPercent, s.Time = new(0.), s.Time.Add(time.Second)
	e.Fold(*s)
	if got := text(t, e); !strings.Contains(got, "vmscaler_vm_cpu_ratio") {
		t.Errorf("idle:\n%s", got)
	}
}

// Two hosts of one name, and a list with a VM twice, are no reason to serve nothing.
func TestNamesThatRepeat(t *testing.T) {
	e := heard(t, true)
	s := bustest.Sample()
	s.HostID = "another-system"
	s.VMs = append(slices.Clone(s.VMs), s.VMs...)
	e.Fold(*s)
	got := text(t, e)
	for _, want := range []string{
		" host=" + s.Host + " another-system phase=ready",
		" host=" + s.Host + " " + string(bustest.Sample().HostID) + " ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// How long calls take is what the stage says; what it says twice, or by other bounds, is no reason to serve nothing.
func TestCallsOfAStage(t *testing.T) {
	e := newListener(false)
	h := bustest.Health()
	h.Calls = append(h.Calls, h.Calls[0], bus.CallTime{API: "bus", Call: "save", Count: 1, Within: []uint64{1}})
	e.Fold(*h)
	got := text(t, e)
	want := "vmscaler_stage_call_duration_seconds api=libvirt call=start process=" + h.Instance + " stage=actuator 1.2405\n"
	if strings.Count(got, want) != 1 {
		t.Errorf("want %q once in\n%s", want, got)
	}
	if strings.Contains(got, "call=save") {
		t.Errorf("buckets of other bounds are shown:\n%s", got)
	}
}

// A host that was not heard yet can have the name of another one.
func TestStandingHostsOfOneName(t *testing.T) {
	e := newListener(false)
	d := bustest.Decision()
	standing := bus.HostStanding{Host: "kvm", State: bus.HostLost}
	d.Hosts = map[bus.HostID]bus.HostStanding{"one": standing, "two": standing}
	e.Fold(*d)
	if got := text(t, e); strings.Count(got, "vmscaler_group_host_state ") != 2 {
		t.Errorf("want both hosts in\n%s", got)
	}
}

// The clocks of hosts are compared with the decider's once enough was heard; before there is no series.
func TestClockSkewSeries(t *testing.T) {
	e := newListener(false)
	s, d := bustest.Sample(), bustest.Decision()
	e.goOn(*s, *d, 3, time.Hour)
	if got := text(t, e); strings.Contains(got, "clock_skew") {
		t.Fatalf("after three messages:\n%s", got)
	}
	d.Seq += 3
	e.goOn(*s, *d, 3, time.Hour)
	if got, want := text(t, e), "vmscaler_host_clock_skew_seconds host="+s.Host+" 3600\n"; !strings.Contains(got, want) {
		t.Errorf("no %q in\n%s", want, got)
	}
}
