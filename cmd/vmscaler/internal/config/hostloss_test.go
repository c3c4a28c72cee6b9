package config

import (
	"errors"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// A fence command and the word for it come together, or it would never run, or never be there.
func TestFenceFields(t *testing.T) {
	for text, want := range map[string]string{
		"on_host_loss: replace-after-fence":            "groups[0].on_host_loss",
		"fence: {command: 'true'}":                     "groups[0].fence.command",
		"on_host_loss: hold, fence: {command: 'true'}": "groups[0].fence.command",
		"on_host_loss: sometimes":                      "groups[0].on_host_loss",
		"placement: anywhere":                          "groups[0].placement",
		"per_host_max: 0":                              "groups[0].per_host_max",
		"isolate_after: 44s":                           "groups[0].isolate_after",
		"isolate_after: 45s":                           "",
		"lost_after: 1m, isolate_after: 92s":           "groups[0].isolate_after",
		"policy: {interval: 2m}, isolate_after: 401s":  "groups[0].isolate_after",
		"policy: {interval: 2m}, isolate_after: 402s":  "",
		"on_host_loss: replace-after-fence, fence: {command: 'off', timeout: 5s}": "",
	} {
		c, _, err := Parse("f.yaml", []byte("groups: [{name: web, "+text+"}]"))
		var problems Problems
		is := errors.As(err, &problems)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want == "":
			fence := bus.Fence{Command: "off", Timeout: 5 * time.Second}
			if g := c.Groups[0]; g.IsolateAfter == 0 && (g.HostLoss != bus.LossReplaceAfterFence || g.Fence != fence) {
				t.Errorf("%s: %+v", text, g)
			}
		case !is || len(problems) != 1 || problems[0].Field != want:
			t.Errorf("%s: %v, want a problem of %s", text, err, want)
		}
	}
}
