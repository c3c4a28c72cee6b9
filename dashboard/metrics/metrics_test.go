package metrics

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
)

// heard is an exporter that has heard one message of each kind.
func heard(t *testing.T, perVM bool) (*Exporter, *time.Time) {
	t.Helper()
	now := bustest.Noon
	e := NewExporter(perVM, func() time.Time { return now })
	s, d, h := bustest.Sample(), bustest.Decision(), bustest.Health()
	e.Fold(*s)
	e.Fold(*d)
	e.Fold(*h)
	launched := bustest.EventAt("web", "web-1", now)
	launched.Event, launched.ElapsedMS = bus.EventReady, 4200
	e.Fold(*launched)
	e.Fold(*launched) // a duplicate counts once
	return e, &now
}

func text(t *testing.T, e *Exporter) string {
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
	e, now := heard(t, true)
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
	if why := e.Readiness(); why != "" {
		t.Errorf("not ready: %s", why)
	}

	// What is not known any more has no value, least of all 0.
	*now = now.Add(time.Hour)
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
	if why := e.Readiness(); !strings.Contains(why, "group web has no decision that holds") {
		t.Errorf("ready: %s", why)
	}
	*now = now.Add(24 * time.Hour)
	e.Forget()
	if got = text(t, e); got != "\n" {
		t.Errorf("after a day there is still\n%s", got)
	}
}

func TestWithoutVMs(t *testing.T) {
	e, _ := heard(t, false)
	if got := text(t, e); strings.Contains(got, "vmscaler_vm_") || !strings.Contains(got, "vmscaler_group_vms ") {
		t.Errorf("per VM:\n%s", got)
	}
}

// An unknown CPU has no series, and a readable one that is 0 has.
func TestUnknownIsNotZero(t *testing.T) {
	e := NewExporter(true, func() time.Time { return bustest.Noon })
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
	e, _ := heard(t, true)
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

// Over a real bus, and HTTP.
func TestServer(t *testing.T) {
	bus1 := bustest.StartServer(t)
	conn := bustest.Join(t, bus1, "dashboard")
	collector, decider := bustest.Join(t, bus1, "collector"), bustest.Join(t, bus1, "decider")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	server := NewServer(conn, NewExporter(true, time.Now), bustest.Quiet)
	go func() { ended <- server.Run(ctx, listener) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, string) {
		resp, err := client.Get("http://" + listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "nothing was heard") {
		t.Errorf("readyz %d: %s", code, body)
	}
	if code, body := get("/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz %d: %s", code, body)
	}
	bustest.Eventually(t, "ready", func() bool { // as the stages do, again and again
		now := time.Now()
		s, d := bustest.Sample(), bustest.Decision()
		s.Time, d.Time, d.ExpiresAt = now, now, now.Add(time.Minute)
		d.Seq = uint64(now.UnixNano()) //nolint:gosec // after 1970
		bustest.PublishAll(t, collector, s)
		bustest.PublishAll(t, decider, d)
		code, _ := get("/readyz")
		return code == http.StatusOK
	})
	code, body := get("/metrics")
	if code != http.StatusOK || !strings.Contains(body, `vmscaler_group_desired{group="web"}`) ||
		!strings.Contains(body, "vmscaler_exporter_bus_connected 1") {
		t.Errorf("metrics %d:\n%s", code, body)
	}
	if code, _ := get("/"); code != http.StatusNotFound {
		t.Errorf("/ is %d", code)
	}
	cancel()
	if err := bustest.Receive(t, ended, "the end"); err != nil {
		t.Error(err)
	}
}
