package e2e

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// receiver is an OpenTelemetry collector that keeps what comes.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*trace.Span
	names map[string]bool // of the services
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{names: map[string]bool{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := r.take(req); err != nil {
			t.Errorf("%s %s: %s", req.Method, req.URL, err)
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// take keeps the spans of a request, which must be one of OTLP over HTTP with protobuf.
func (r *receiver) take(req *http.Request) error {
	if req.URL.Path != "/v1/traces" || req.Header.Get("Content-Type") != "application/x-protobuf" {
		return fmt.Errorf("its content is %q", req.Header.Get("Content-Type"))
	}
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(req.Body)
		if err != nil {
			return err
		}
		body = unpacked
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var message collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &message); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range message.GetResourceSpans() {
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				r.names[a.GetValue().GetStringValue()] = true
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
	return nil
}

// of are the spans of the trace whose decision went from a number of VMs to another, each as its name and its parent's.
func (r *receiver) of(current, desired int64) (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names, id := map[string]string{}, ""
	for _, s := range r.spans {
		names[string(s.GetSpanId())] = s.GetName()
		numbers := map[string]int64{}
		for _, a := range s.GetAttributes() {
			numbers[a.GetKey()] = a.GetValue().GetIntValue()
		}
		if s.GetName() == "decide" && numbers["vmscaler.current"] == current && numbers["vmscaler.desired"] == desired {
			id = hex.EncodeToString(s.GetTraceId())
		}
	}
	for _, s := range r.spans {
		if hex.EncodeToString(s.GetTraceId()) == id {
			all = append(all, strings.TrimSuffix(s.GetName()+" of "+names[string(s.GetParentSpanId())], " of "))
		}
	}
	slices.Sort(all)
	return all
}

// TestTraces: a real group tells a collector what became of its decisions, one trace each: in one process, and where decider and
// actuator are two, between which a header of NATS carries the trace.
func TestTraces(t *testing.T) {
	launched := []string{
		"boot of launch", "checks of launch", "clone of launch", "decide", "define of launch", "disks of launch", "hook of launch",
		"launch of decide", "mark of launch", "plan of decide", "ready of launch", "seed of launch", "start of launch",
	}
	removed := []string{
		"decide", "delete of remove", "destroy of remove", "drain of remove", "plan of decide", "remove of decide",
		"shutdown of remove",
	}
	story := func(t *testing.T, w *world, r *receiver, b *watcher) {
		b.untilReady(1)
		w.must("scale", w.group, "2")
		b.until("the launch is traced", func() bool { return slices.Equal(r.of(1, 2), launched) })
		w.must("scale", w.group, "1")
		b.until("the removal is traced", func() bool { return slices.Equal(r.of(2, 1), removed) })
		if !r.names["vmscaler"] || len(r.names) != 1 {
			t.Errorf("the services are %v, want vmscaler", r.names)
		}
	}
	t.Run("one process", func(t *testing.T) {
		w, r := newWorld(t), newReceiver(t)
		p := w.start(w.config("max: 3\nshutdown_timeout: 20s\n"), "--otlp", r.URL)
		story(t, w, r, p.watcher)
		p.stop()
	})
	t.Run("processes", func(t *testing.T) {
		w, r := newWorld(t), newReceiver(t)
		w.env = append(w.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+r.URL)
		s := w.split(freeAddress(t), w.config("max: 3\nshutdown_timeout: 20s\n"))
		s.start("bus").says("bus: " + s.url)
		for _, stage := range []string{"decider", "actuator", "collector"} {
			s.start(stage)
		}
		b := w.watch(client.Remote{URL: s.url})
		story(t, w, r, b)
		for _, e := range b.all {
			if e.VM == w.group+"-2" && e.Event == bus.EventReady && e.Traceparent() == "" {
				t.Errorf("event %+v has no header traceparent", e)
			}
		}
		s.stop()
	})
}
