package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

func TestMetricOf(t *testing.T) {
	for line, want := range map[string]string{
		"web requests 118.5":                    "",
		"web requests 0":                        "",
		"web requests 1e15":                     "",
		"web requests NaN":                      "value: found NaN",
		"web requests inf":                      "value: found +Inf",
		"web requests 1e16":                     "value: found 1e+16, want 0 to 1e+15",
		"web requests 1e309":                    `value: found "1e309"`,
		"web requests -5":                       "value: found -5",
		"web requests five":                     `value: found "five"`,
		"web requests 0x10":                     `value: found "0x10"`,
		"web requests 1_000":                    `value: found "1_000"`,
		"web req.s 5":                           `name: "req.s"`,
		"web-1 requests 5":                      `group: "web-1"`,
		"web " + strings.Repeat("x", 61) + " 5": "name: ",
	} {
		m, err := metricOf(strings.Fields(line))
		if want == "" && (err != nil || m.Value == nil) || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// What nobody would follow is an error that names what is followed, and is not published.
func TestMetricThatNobodyFollows(t *testing.T) {
	flags := decider(t, func(r client.Request) error {
		d := &bus.Decision{Inputs: bus.Inputs{Metric: "requests"}}
		switch r.Query.Group {
		case "web":
		case "db":
			d.Inputs.Metric = ""
		case "api":
			d.Inputs.Metric, d.Inputs.Metrics = "", map[string]*float64{"queue": nil, "requests": new(5.)}
		case "new":
			d = nil
		default:
			return r.Refuse("there is no group %q; the groups are: web, db, new", r.Query.Group)
		}
		return r.Answer(bus.Status{
			V: bus.Version, Time: time.Now(), Groups: []bus.GroupStatus{{Group: r.Query.Group, Decision: d}}, Stages: []bus.Health{},
		})
	})
	for line, want := range map[string]string{
		"metric web requests 5": "",
		"metric new requests 5": "", // not evaluated yet
		"metric wep requests 5": `there is no group "wep"; the groups are: web`,
		"metric web requets 5":  `group web follows the metric requests, not "requets"`,
		"metric api queue 5":    "",
		"metric api queues 5":   `group api follows the metric queue, requests, not "queues"`,
		"metric db requests 5":  "group db follows no metric",
	} {
		out, err := command(t, append(strings.Fields(line), flags...)...)
		if want == "" && err == nil && !strings.HasSuffix(out, " is 5\n") {
			t.Errorf("%s: it says %q", line, out)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

func TestMetricOfNobody(t *testing.T) {
	flags := answering(t, bus.RoleActuator, nil, func(client.Request) error { return nil })
	var nobody *client.NobodyError
	if _, err := command(t, append([]string{"metric", "web", "requests", "5"}, flags...)...); !errors.As(err, &nobody) {
		t.Errorf("got %v, want that no decider is there", err)
	}
}

func TestMetricBelowZeroIsNoFlag(t *testing.T) {
	for _, value := range []string{"-5", "-0.5", "-.5"} {
		_, err := command(t, "metric", "web", "requests", value)
		var usage usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), "value: found "+value) {
			t.Errorf("%s: %v", value, err)
		}
	}
	if _, err := command(t, "metric", "web", "requests", "-z"); err == nil ||
		!strings.Contains(err.Error(), "unknown shorthand flag") {
		t.Errorf("got %v", err)
	}
}
