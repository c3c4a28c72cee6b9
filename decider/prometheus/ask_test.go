package prometheus

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func success(kind, result string) string {
	return fmt.Sprintf(`{"status":"success","data":{"resultType":%q,"result":%s}}`, kind, result)
}

// The first five bodies are what Prometheus 2.42 says.
func TestParse(t *testing.T) {
	const series = `{"metric":{"__name__":"up","instance":"a"},"value":[1772000000.123,"%s"]}`
	for _, tt := range []struct {
		name, body string
		value      float64
		want       string // part of the error; "" is none
		refused    bool
	}{
		{"vector", success("vector", "["+fmt.Sprintf(series, "118.5")+"]"), 118.5, "", false},
		{"scalar", success("scalar", `[1772000000.123,"42"]`), 42, "", false},
		{"nothing", success("vector", "[]"), 0, "answers nothing", true},
		{
			"bad query", `{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error"}`,
			0, `Prometheus says: invalid parameter "query": 1:5: parse error`, true,
		},
		{"string", success("string", `[1772000000.123,"a"]`), 0, "answers a string", true},
		{"range", success("matrix", `[]`), 0, "answers a matrix", true},
		{"several", success("vector", "["+fmt.Sprintf(series, "1")+","+fmt.Sprintf(series, "2")+"]"), 0, "several series", true},
		{"histogram", success("vector", `[{"metric":{},"histogram":[1772000000.123,{"count":"2"}]}]`), 0, "no number", true},
		{"zero", success("vector", "["+fmt.Sprintf(series, "0")+"]"), 0, "", false},
		{"NaN", success("vector", "["+fmt.Sprintf(series, "NaN")+"]"), 0, "found NaN", true},
		{"infinite", success("scalar", `[1,"+Inf"]`), 0, "found +Inf", true},
		{"negative", success("scalar", `[1,"-1"]`), 0, "found -1", true},
		{"huge", success("scalar", `[1,"1e16"]`), 0, "found 1e+16", true},
		{"no float", success("scalar", `[1,"many"]`), 0, "invalid syntax", false},
		{"a number as number", success("scalar", `[1,2]`), 0, "no string", false},
		{"a list", `[]`, 0, "not that of Prometheus", false},
		{"something else", `{"ok":true}`, 0, "not that of Prometheus", false},
		{"a page", `<html>`, 0, "not that of Prometheus", false},
		{"no result", `{"status":"success"}`, 0, "answers a :", true},
		{"a vector of what", success("vector", `{"a":1}`), 0, "the answer's vector", false},
		{"null", success("vector", `null`), 0, "answers nothing", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := parse([]byte(tt.body))
			var refused RefusedError
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if v != tt.value || errors.As(err, &refused) != tt.refused {
				t.Errorf("got %g and %#v", v, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(success("scalar", `[1,"2"]`)))
	f.Add([]byte(success("vector", `[{"value":[1,"2"]}]`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		if v, err := parse(body); err == nil && bus.CheckMetricValue(v) != nil || err != nil && err.Error() == "" {
			t.Errorf("%s: %g, %v", body, v, err)
		}
	})
}

func query(url string) bus.Prometheus {
	return bus.Prometheus{URL: url, Query: `sum(rate(http_requests_total{job="web"}[1m]))`, Timeout: time.Minute}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is asked, as a server sees it.
func TestRequest(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for what, pair := range map[string][2]string{
			"path":   {r.Method + " " + r.URL.Path, "POST /prom/api/v1/query"},
			"query":  {r.PostFormValue("query"), query("").Query},
			"limit":  {r.PostFormValue("limit"), "2"},
			"token":  {r.Header.Get("Authorization"), "Bearer s3cret"},
			"header": {r.Header.Get("X-Scope-OrgID"), "web"},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
			}
		}
		_, _ = io.WriteString(w, success("scalar", `[1,"7"]`))
	}))
	defer server.Close()
	q := query(server.URL + "/prom/")
	q.TokenFile, q.Headers = file(t, "s3cret\n"), []bus.Header{{Name: "X-Scope-OrgID", Value: "web"}}
	q.CA = file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	if v, err := Ask(t.Context(), q); err != nil || v != 7 {
		t.Errorf("got %g, %v", v, err)
	}
	q.CA = ""
	if _, err := Ask(t.Context(), q); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without its CA: %v", err)
	}
}

func TestAskFails(t *testing.T) {
	say := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://elsewhere.example/")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	missing := filepath.Join(t.TempDir(), "token")
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		change  func(*bus.Prometheus)
		want    string
		refused bool
	}{
		{"sent on", say(http.StatusMovedPermanently, ""), nil, `sends on to "http://elsewhere.example/"`, false},
		{"a gateway's page", say(http.StatusBadGateway, "<h1>no\nlife</h1>"), nil, "502 Bad Gateway: <h1>no life</h1>", false},
		{"bad query", say(http.StatusBadRequest, `{"status":"error","error":"bad"}`), nil, "Prometheus says: bad", true},
		{"too much", say(http.StatusOK, strings.Repeat("x", maxAnswer+1)), nil, "more than 64 KiB", true},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, nil, "unexpected EOF", false},
		{"silent", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the end of the request is not noticed
			<-r.Context().Done()
		}, func(q *bus.Prometheus) { q.Timeout = 50 * time.Millisecond }, "no answer within 50ms (timeout)", false},
		{"no token", nil, func(q *bus.Prometheus) { q.TokenFile = missing }, "prometheus.token_file: open " + missing, false},
		{"empty token", nil, func(q *bus.Prometheus) { q.TokenFile = os.DevNull }, "has no token", false},
		{"no CA", nil, func(q *bus.Prometheus) { q.CA = os.DevNull }, "no certificate in PEM", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			handler := tt.handler
			if handler == nil {
				handler = func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }
			}
			server := httptest.NewServer(handler)
			defer server.Close()
			q := query(server.URL)
			if tt.change != nil {
				tt.change(&q)
			}
			v, err := Ask(t.Context(), q)
			var refused RefusedError
			if err == nil || v != 0 || !strings.Contains(err.Error(), tt.want) || errors.As(err, &refused) != tt.refused {
				t.Errorf("got %g, %v, want %q", v, err, tt.want)
			}
		})
	}
	server := httptest.NewServer(nil)
	server.Close()
	if _, err := Ask(t.Context(), query(server.URL)); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
}
