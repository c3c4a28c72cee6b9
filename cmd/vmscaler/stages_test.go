package main

import (
	"bytes"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
)

// Where the bus is is said unless a dashboard has the terminal, and how to watch it by the process that has the bus.
func TestStagesSayWhereTheBusIs(t *testing.T) {
	const url = "nats://" + bus.DefaultListen
	for name, tt := range map[string]struct {
		o    runOptions
		want string
	}{
		"bus":               {runOptions{stages: []string{app.StageBus}}, "bus: " + url + watchHint(url, true) + "\n"},
		"collector":         {runOptions{stages: []string{app.StageCollector}}, "bus: " + url + "\n"},
		"plain dashboard":   {runOptions{stages: app.Stages(), plain: true}, "bus: " + url + watchHint(url, true) + "\n"},
		"dashboard's lines": {runOptions{stages: app.Stages()}, ""},
	} {
		var stderr bytes.Buffer
		described := ""
		r := &stageRun{o: tt.o, stderr: &stderr, title: "vmscaler", footer: "   log x", describe: func(url string) { described = url }}
		r.stages.Remote = func(string) client.Remote { return client.Remote{URL: "nats://127.0.0.1:1"} } // where nobody is
		r.show(nil)
		r.stages.Ready(url)
		if stderr.String() != tt.want || described != url {
			t.Errorf("%s: got %q, described %q, want %q", name, &stderr, described, tt.want)
		}
		if d := r.stages.Dashboard(url); d.Title != "vmscaler" || d.Footer != "bus "+url+"   log x" || d.Plain != tt.o.plain {
			t.Errorf("%s: dashboard %+v", name, d)
		}
	}
}

// What was taken first is given back last.
func TestStagesAreUndoneInReverse(t *testing.T) {
	var order []int
	r := &stageRun{}
	for i := range 3 {
		r.defers(func() { order = append(order, i) })
	}
	r.close()
	if len(order) != 3 || order[0] != 2 || order[2] != 0 {
		t.Errorf("undone in the order %v", order)
	}
}
