package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/expression"
	"github.com/vmscaler/vmscaler/decider/policy"
)

func policyFields(p *bus.Policy) section {
	return section{
		{"type", choices(&p.Types, policy.Kinds()...)},
		{"shadow", orNone(choices(&p.Shadow, policy.Kinds()...), &p.Shadow)},
		{"setting", choice(&p.Setting, policy.Settings()...)},
		{"signal", choice(&p.Signal, signals()...)},
		{"target", percent(&p.TargetPercent)},
		{
			"target_mib_s",
			orWord(number(&p.TargetMiBS, 1e-3, 1e6, "MiB/s from 0.001 to 1000000, for each VM"), "none", &p.TargetMiBS, 0),
		},
		{"metric", text(&p.Metric, "the name of a metric: up to 60 of a-z, A-Z, 0-9, '-' and '_'", isMetric)},
		{"metric_target", number(&p.MetricTarget, 1e-6, 1e12, "a number above 0, for each VM")},
		{"expression", checked(&p.Expression, "an expression, such as max(cpu/60, metric(\"rps\")/100)", checkExpression)},
		{"metric_max_age", duration(&p.MetricMaxAge, time.Second, 24*time.Hour)},
		{"prometheus", prometheusFields(&p.Prometheus)},
		{"upper", percent(&p.UpperPercent)},
		{"lower", percent(&p.LowerPercent)},
		{"interval", duration(&p.Interval, 200*time.Millisecond, bus.LongestInterval)},
		{"breaches_out", whole(&p.BreachesOut, 1000, "")},
		{"breaches_in", whole(&p.BreachesIn, 1000, "")},
		{"cooldown_out", duration(&p.CooldownOut, 0, 24*time.Hour)},
		{"cooldown_in", duration(&p.CooldownIn, 0, 24*time.Hour)},
		{"warmup", orWord(duration(&p.Warmup, 0, time.Hour), "learned", &p.Warmup, bus.WarmupLearned)},
		{"steps", section{
			{"adjustment", choice(&p.Steps.Adjustment, bus.AdjustChange, bus.AdjustExact, bus.AdjustPercent)},
			{"min_magnitude", whole(&p.Steps.MinMagnitude, 1000, "")},
			{"out", list[bus.Band]{&p.Steps.Out, "a list of bands with from and adjust", true, bandFields, newBand}},
			{"in", list[bus.Band]{&p.Steps.In, "a list of bands with from and adjust", true, bandFields, newBand}},
		}},
		{"limits", section{
			{"tolerance", percent(&p.Limits.TolerancePercent)},
			{"stabilize_out", duration(&p.Limits.StabilizeOut, 0, 24*time.Hour)},
			{"stabilize_in", duration(&p.Limits.StabilizeIn, 0, 24*time.Hour)},
			{"rate_out", optional(&p.Limits.RateOut, 1000)},
			{"rate_in", optional(&p.Limits.RateIn, 1000)},
			{"rate_window", duration(&p.Limits.RateWindow, time.Second, 24*time.Hour)},
		}},
	}
}

// orNone is a list that may be empty, which is the word none.
func orNone[T any](s scalar, p *[]T) scalar {
	return scalar{
		form: s.form.or("none"),
		want: s.want + ", or none",
		set: func(n ast.Node) bool {
			if wordOf(n) == "none" {
				*p = nil
				return true
			}
			return s.set(n)
		},
		get: func() string {
			if len(*p) == 0 {
				return "none"
			}
			return s.get()
		},
	}
}

func signals() []bus.Signal {
	return []bus.Signal{
		bus.SignalCPU, bus.SignalMemory, bus.SignalLoad, bus.SignalNetworkRx, bus.SignalNetworkTx,
		bus.SignalDiskRead, bus.SignalDiskWrite,
		bus.SignalMetric, bus.SignalPrometheus, bus.SignalExpression,
	}
}

func prometheusFields(p *bus.Prometheus) section {
	return section{
		{"url", text(&p.URL, wantPrometheus, isPrometheus)},
		{"query", text(&p.Query, fmt.Sprintf("a query in PromQL of up to %d bytes, whose answer is one number", maxValue), isQuery)},
		{"interval", duration(&p.Interval, time.Second, time.Hour)},
		{"timeout", duration(&p.Timeout, 100*time.Millisecond, time.Minute)},
		{"token_file", text(&p.TokenFile, wantFile, isPath)},
		{"ca", text(&p.CA, wantFile, isPath)},
		{"headers", list[bus.Header]{
			&p.Headers, fmt.Sprintf("a list of at most %d headers with name and value", bus.MaxHeaders), true, headerFields,
			func() bus.Header { return bus.Header{} },
		}},
	}
}

func headerFields(h *bus.Header) section {
	return section{
		{"name", text(&h.Name, "the name of a header, such as X-Scope-OrgID; not Authorization, which is of token_file", isHeader)},
		{"value", text(&h.Value, "printable ASCII characters", isHeaderValue)},
	}
}

const wantPrometheus = "http://HOST:PORT or https://HOST, with the path before /api/v1 if there is one, " +
	"and without user and password"

func isPrometheus(s string) bool {
	if s == "" {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil &&
		u.RawQuery == "" && u.Fragment == "" && !strings.Contains(s, "?") && isPath(s)
}

func isQuery(s string) bool { return len(s) <= maxValue && utf8.ValidString(s) }

var headerName = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]{1,100}$")

func isHeader(s string) bool {
	return headerName.MatchString(s) && !slices.Contains([]string{"authorization", "host", "content-type", "content-length"},
		strings.ToLower(s))
}

func isHeaderValue(s string) bool {
	return len(s) <= maxValue && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func newBand() bus.Band { return bus.Band{} }

func bandFields(b *bus.Band) section {
	return section{
		{"from", number(&b.From, 0, 100, "points from 0 to 100 beyond the threshold")},
		{"adjust", number(&b.Adjust, -1000, 1000, "VMs or percent from -1000 to 1000")},
	}
}

func checkExpression(s string) error {
	if s == "" {
		return nil
	}
	_, err := expression.Compile(s)
	return err
}

func isMetric(s string) bool { return s == "" || bus.CheckMetricName(s) == nil }
