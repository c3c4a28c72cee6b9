package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// ofPrometheus is a program of a real Prometheus, prometheus or promtool: what is installed, or else the distribution's, unpacked
// beside the guest's packages. Installing it would start a service.
func ofPrometheus(t testing.TB, program string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	dir := packageCache()
	if dir == "" {
		dir = t.TempDir()
	}
	path := filepath.Join(dir, "prometheus", "usr", "bin", program)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	in := t.TempDir()
	get := exec.Command("apt-get", "download", "prometheus")
	get.Dir = in
	if out, err := get.CombinedOutput(); err != nil {
		t.Fatalf("there is no Prometheus, and apt-get does not download it: %v\n%s", err, out)
	}
	packages, err := filepath.Glob(filepath.Join(in, "*.deb"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("downloaded %q (%v)", packages, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Nobody runs what is not written to its end: neither a test beside this one, nor one of another run.
	unpacked, err := os.MkdirTemp(dir, "prometheus-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(unpacked) }()
	if out, err := exec.Command("dpkg-deb", "-x", packages[0], unpacked).CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v\n%s", packages[0], err, out)
	}
	if err := os.Rename(unpacked, filepath.Join(dir, "prometheus")); err != nil {
		if _, there := os.Stat(path); there != nil { // another was not quicker
			t.Fatal(err)
		}
	}
	return path
}

// prometheus runs a server that scrapes an exporter once a second, beside other jobs.
func (w *world) prometheus(dir, address, exporter string, jobs ...string) *process {
	w.t.Helper()
	config := filepath.Join(dir, "prometheus.yml")
	text := "global: {scrape_interval: 1s}\n" +
		"scrape_configs:\n- {job_name: web, static_configs: [{targets: ['" + exporter + "']}]}\n" +
		strings.Join(
			jobs,
			"",
		)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	p := w.startProcess("prometheus", exec.Command(ofPrometheus(w.t, "prometheus"), "--config.file", config,
		"--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address))
	p.says("Server is ready to receive web requests")
	return p
}

// TestScalesOnPrometheus: a group follows a query of a real Prometheus; while that is gone the group holds, health says so, and
// it goes on when the server is back.
func TestScalesOnPrometheus(t *testing.T) {
	t.Parallel()
	var queue atomic.Int64
	queue.Store(50)
	scraped := make(chan struct{})
	exporter := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(rw, "queue{shard=\"a\"} %d\nqueue{shard=\"b\"} 0\n", queue.Load())
		select {
		case scraped <- struct{}{}:
		default:
		}
	}))
	defer exporter.Close()
	w := newWorld(t)
	dir, address := t.TempDir(), freeAddress(t)
	server := w.prometheus(dir, address, strings.TrimPrefix(exporter.URL, "http://"))
	config := func(query string) string {
		return w.config("min: 1\nmax: 3\npolicy:\n  type: target\n  signal: prometheus\n  metric_target: 100\n  metric_max_age: 1m\n" +
			"  prometheus: {url: 'http://" + address + "', query: '" + query + "', interval: 1s, timeout: 10s}\n")
	}
	for range 3 { // then the first one is stored
		<-scraped
	}
	w.refused([]string{"config", "check", "-c", config("sum(queue")}, "policy.prometheus.query", "parse error")
	w.refused([]string{"config", "check", "-c", config("queue")}, "policy.prometheus.query", "several series")
	w.refused([]string{"config", "check", "-c", config("sum(que)")}, "policy.prometheus.query", "answers nothing")
	w.refused([]string{"config", "check", "-c", config("sum(queue) / 0")}, "policy.prometheus.query", "found +Inf")
	good := config("sum(queue)")
	w.must("config", "check", "-c", good)

	p := w.start(good)
	p.untilReady(1)
	queue.Store(150)
	p.until("it grows on the answer", func() bool { return p.decision.Direction == bus.Out && p.decision.Desired == 2 })
	if d := p.decision; !strings.Contains(d.Sentence, ": metric 150, for each of 1 VM 150, target 100") {
		t.Errorf("it says %q", d.Sentence)
	}
	p.untilReady(2)

	failing := func() bool {
		return slices.ContainsFunc(p.stages[string(bus.RoleDecider)].Problems, func(problem bus.Problem) bool {
			return problem == bus.Problem{Code: bus.ProblemQueryFails, Subject: w.group}
		})
	}
	server.kill()
	queue.Store(250)
	p.until("health says that the query fails", failing)
	if text := p.stages[string(bus.RoleDecider)].Message; !containsAll(
		text,
		"sum(queue)",
		"says nothing since",
		"connection refused",
	) {
		t.Errorf("health says %q", text)
	}
	unknown := 0
	p.until("it holds while nothing is known", func() bool {
		d := p.decision
		if d.Inputs.Metric != bus.PrometheusMetric || d.Desired != 2 {
			t.Fatalf("it does not hold: %+v", d)
		}
		if d.Inputs.MetricValue == nil && strings.Contains(d.Sentence, "the metric prometheus has not been known for") {
			unknown++
		}
		return unknown > 30
	})

	server = w.prometheus(dir, address, strings.TrimPrefix(exporter.URL, "http://"))
	p.within(2*patience, "it grows once there is an answer", func() bool { return p.decision.Desired == 3 })
	p.until("health is well again", func() bool { return !failing() })
	p.stop()
	server.kill()
}
