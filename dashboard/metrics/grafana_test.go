package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

const (
	grafanaFile = "../../packaging/grafana/vmscaler.json"
	alertsFile  = "../../packaging/prometheus/alerts.yaml"
)

type panel struct {
	title, unit string
	targets     []target // of which each is a line
	stat        bool     // a number in place of a line
	width       int      // of 24
}

type target struct{ legend, expr string }

// panels are those of the dashboard, in rows.
func panels() []struct {
	row    string
	panels []panel
} {
	one := func(legend, expr string) []target { return []target{{legend, expr}} }
	return []struct {
		row    string
		panels []panel
	}{
		{"Groups", []panel{
			{"Desired", "none", one("{{group}}", `vmscaler_group_desired{group=~"$group"}`), true, 6},
			{"Ready", "none", one("{{group}}", `vmscaler_group_ready{group=~"$group"}`), true, 6},
			{"CPU", "percentunit", one("{{group}}", `vmscaler_group_cpu_ratio{group=~"$group"}`), true, 6},
			{"Held back or blind", "none", []target{
				{"{{group}} {{problem}}", `vmscaler_group_held{group=~"$group"} == 1`},
				{"{{group}} blind", `vmscaler_group_blind{group=~"$group"} == 1`},
			}, true, 6},
			{"Size", "none", []target{
				{"{{group}} desired", `vmscaler_group_desired{group=~"$group"}`},
				{"{{group}} ready", `vmscaler_group_ready{group=~"$group"}`},
				{"{{group}} min", `vmscaler_group_min{group=~"$group"}`},
				{"{{group}} max", `vmscaler_group_max{group=~"$group"}`},
			}, false, 12},
			{"CPU of the ready VMs", "percentunit", []target{
				{"{{group}}", `vmscaler_group_cpu_ratio{group=~"$group"}`},
				{"{{group}} lower", `vmscaler_group_cpu_lower_ratio{group=~"$group"}`},
				{"{{group}} upper", `vmscaler_group_cpu_upper_ratio{group=~"$group"}`},
			}, false, 12},
			{"VMs by phase", "none", one("{{phase}}", `sum by (phase) (vmscaler_group_vms{group=~"$group"})`), false, 12},
			{
				"Changes of the desired capacity", "none",
				one("{{group}} {{direction}}", `increase(vmscaler_desired_changes_total{group=~"$group"}[5m])`), false, 12,
			},
			{
				"Decisions by rule and guard", "none",
				one("{{rule}} {{guard}}", `sum by (rule, guard) (rate(vmscaler_decisions_total{group=~"$group"}[5m]))`), false, 12,
			},
			{"Refresh", "none", one("{{group}} {{state}}", `vmscaler_group_refresh_vms{group=~"$group"}`), false, 12},
		}},
		{"VMs", []panel{
			{"Launch, 95th percentile", "s", one("{{step}}", `histogram_quantile(0.95, sum by (le, step) `+
				`(rate(vmscaler_launch_duration_seconds_bucket{group=~"$group"}[1h])))`), false, 12},
			{"Removal, 95th percentile", "s", one("removal",
				`histogram_quantile(0.95, sum by (le) (rate(vmscaler_removal_duration_seconds_bucket{group=~"$group"}[1h])))`), false, 12},
			{"CPU of each VM", "percentunit", one("{{vm}}", `vmscaler_vm_cpu_ratio{group=~"$group"}`), false, 12},
			{
				"What happened", "none", one("{{event}}", `sum by (event) (increase(vmscaler_lifecycle_events_total{group=~"$group"}[5m]))`),
				false, 12,
			},
		}},
		{"Hosts and stages", []panel{
			{"Host CPU", "percentunit", one("{{host}}", `vmscaler_host_cpu_ratio`), false, 12},
			{"Room for new VMs", "bytes", []target{
				{"{{host}} memory free", `vmscaler_host_memory_free_bytes`},
				{"{{host}} promised", `vmscaler_host_memory_promised_bytes`},
				{"{{host}} pool free", `vmscaler_host_pool_free_bytes`},
			}, false, 12},
			{"Stages", "none", one("{{stage}} {{process}}", `vmscaler_stage_healthy`), false, 12},
			{"Pass over the domains, 95th percentile", "s", one("{{host}}",
				`histogram_quantile(0.95, sum by (le, host) (rate(vmscaler_sample_pass_duration_seconds_bucket[5m])))`), false, 12},
		}},
	}
}

// grafana is the dashboard for Grafana.
func grafana(t *testing.T) []byte {
	t.Helper()
	type object = map[string]any
	source := object{"type": "prometheus", "uid": "${source}"}
	var all []any
	id, y := 0, 0
	for _, row := range panels() {
		id++
		all = append(all, object{
			"id": id, "type": "row", "title": row.row, "collapsed": false, "panels": []any{},
			"gridPos": object{"h": 1, "w": 24, "x": 0, "y": y},
		})
		y++
		x, height := 0, 0
		for _, p := range row.panels {
			id++
			kind, h := "timeseries", 8
			if p.stat {
				kind, h = "stat", 4
			}
			if x+p.width > 24 {
				x, y = 0, y+height
			}
			var targets []any
			for i, one := range p.targets {
				targets = append(targets, object{
					"refId": string(rune('A' + i)), "expr": one.expr, "legendFormat": one.legend, "datasource": source,
				})
			}
			all = append(all, object{
				"id": id, "type": kind, "title": p.title, "datasource": source, "targets": targets,
				"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0}, "overrides": []any{}},
				"gridPos":     object{"h": h, "w": p.width, "x": x, "y": y},
			})
			x, height = x+p.width, h
		}
		y += height
	}
	variable := object{
		"name": "group", "label": "Group", "type": "query", "datasource": source, "multi": true, "includeAll": true, "refresh": 2,
		"query": object{
			"query": "label_values(vmscaler_group_vms, group)",
			"refId": "group",
		}, "current": object{"text": "All", "value": "$__all"},
	}
	data, err := json.MarshalIndent(object{
		"uid": "vmscaler", "title": "vmscaler", "tags": []string{"vmscaler"}, "schemaVersion": 39, "version": 1, "editable": true,
		"refresh": "10s", "time": object{"from": "now-1h", "to": "now"}, "panels": all,
		"templating": object{"list": []any{
			object{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}, variable,
		}},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// TestGrafana: the dashboard that comes with vmscaler is this one.
func TestGrafana(t *testing.T) {
	want := grafana(t)
	if *update {
		if err := os.WriteFile(grafanaFile, want, 0o644); err != nil { //nolint:gosec // it is for everybody
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(grafanaFile); err != nil || string(got) != string(want) {
		t.Errorf("%s is another one; `go test ./dashboard/metrics -update` writes it (%v)", grafanaFile, err)
	}
}

// TestQueriedMetrics: dashboard and alerts ask for metrics that there are.
func TestQueriedMetrics(t *testing.T) {
	docs, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{grafanaFile, alertsFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\bvmscaler_[a-z_]+`).FindAllString(string(text), -1)
		if len(names) < 10 {
			t.Errorf("%s: only %d were found", file, len(names))
		}
		for _, name := range names {
			if !strings.Contains(string(docs), "`"+strings.TrimSuffix(name, "_bucket")+"`") {
				t.Errorf("%s asks for %s, which there is not", file, name)
			}
		}
	}
}
