package otlp_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/otlp"
)

func TestTarget(t *testing.T) {
	for _, tt := range []struct {
		name, flag, both, traces string
		want, refused            string
	}{
		{name: "nothing is said"},
		{name: "the flag", flag: "http://10.0.0.5:4318", want: "http://10.0.0.5:4318/v1/traces"},
		{name: "the flag over the environment", flag: "http://a:1/", both: "http://b:1", want: "http://a:1/v1/traces"},
		{name: "the environment", both: "https://otel.example.org/base", want: "https://otel.example.org/base/v1/traces"},
		{name: "that of traces alone is used as it is", both: "http://b:1", traces: "http://c:1/in", want: "http://c:1/in"},
		{name: "no scheme", flag: "127.0.0.1:4318", refused: `--otlp: found "127.0.0.1:4318", want the URL`},
		{name: "another scheme", both: "grpc://a:4317", refused: otlp.Endpoint + `: found "grpc://a:4317"`},
		{name: "no host", flag: "http:///v1", refused: "--otlp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := otlp.Target(tt.flag, func(name string) string {
				return map[string]string{otlp.Endpoint: tt.both, otlp.TracesEndpoint: tt.traces}[name]
			})
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("error %v, want %q", err, tt.refused)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("target %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// TestRefusedSpans: a receiver that takes nothing is named in the log, once, and holds the end of the process up for no longer
// than the farewell.
func TestRefusedSpans(t *testing.T) {
	asked := make(chan struct{}, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		http.Error(w, "no such tenant", http.StatusForbidden)
	}))
	defer s.Close()
	var log bytes.Buffer
	tracer, stop, err := otlp.Start(t.Context(), s.URL+"/v1/traces", "v1", zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		tracer.Decided(bustest.Decision(), time.Now())
		<-asked
	}
	stop()
	if got := log.String(); strings.Count(got, "spans could not be sent") != 1 || !strings.Contains(got, "403") {
		t.Errorf("the log says\n%s\nwant the refusal, once", got)
	}
}
