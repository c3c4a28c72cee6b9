package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// What a command line says is judged before anything is contacted.
func TestCommandsValidate(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		err  error
		want string // in a usage error; "" is right
	}{
		{(&statusCmd{output: "text"}).validate(nil), ""},
		{(&statusCmd{output: "json"}).validate([]string{"web"}), ""},
		{(&statusCmd{output: "yaml"}).validate(nil), "--output: found \"yaml\""},
		{(&statusCmd{output: "text"}).validate([]string{""}), "group: "},
		{(&eventsCmd{output: "text"}).validate([]string{"web1"}), "group: "},
		{(&explainCmd{group: "web", output: "text"}).validate(now), ""},
		{(&explainCmd{group: "web", output: "text", at: "2h", id: "x"}).validate(now), "--at and --decision: want one of them"},
		{(&explainCmd{group: "web", output: "text", at: "soon"}).validate(now), "--at: found \"soon\""},
		{(&loadCmd{workers: 1, percent: 100, duration: time.Minute}).validate(), ""},
		{(&loadCmd{workers: -1, percent: 100, duration: time.Minute}).validate(), "--cpu: found -1"},
		{(&loadCmd{percent: 101, duration: time.Minute}).validate(), "--percent: found 101"},
		{(&loadCmd{percent: 1, duration: 25 * time.Hour}).validate(), "--for: found 25h0m0s"},
		{(&templateBuildCmd{name: "web"}).validate(), ""},
		{(&templateBuildCmd{name: "Web"}).validate(), "--name: template name \"Web\""},
		{(&templateImportCmd{}).validate([]string{"web", "disk.qcow2"}), ""},
		{(&templateImportCmd{}).validate([]string{"web.1", "disk.qcow2"}), "NAME: template name \"web.1\""},
		{(&templateShowCmd{name: "web", output: "yaml"}).validate(), "--output: found \"yaml\""},
		{(&templateSealCmd{}).validate([]string{"web", "disk.qcow2"}), ""},
		{(&templateSealCmd{pool: "p"}).validate([]string{"web"}), "--pool: want VOLUME"},
	} {
		var usage usageError
		wrong := errors.As(tt.err, &usage) && strings.Contains(tt.err.Error(), tt.want)
		if tt.want == "" && tt.err != nil || tt.want != "" && !wrong {
			t.Errorf("got %v, want %q", tt.err, tt.want)
		}
	}
	c := &explainCmd{group: "web", output: "text", at: "2h"}
	if err := c.validate(now); err != nil || !c.when.Equal(now.Add(-2*time.Hour)) {
		t.Errorf("--at 2h: %v, %v", c.when, err)
	}
}

func TestStatusIsPrinted(t *testing.T) {
	status := bus.Status{Groups: []bus.GroupStatus{{Group: "web"}}}
	for output, want := range map[string]string{"text": "group web\n", "json": `"group": "web"`} {
		var out strings.Builder
		if err := (&statusCmd{output: output}).print(&out, status); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: got %q, %v, want %q in it", output, &out, err, want)
		}
	}
}
