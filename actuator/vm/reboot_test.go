package vm

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// While an agent is gone its guest may be shutting down. If it comes back without a restart nothing has happened.
func TestAgentThatLeavesIsNoted(t *testing.T) {
	t0 := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	for _, tt := range []struct {
		name  string
		signs []Sign // one a second from the first second on
		want  bus.Reboot
	}{
		{"its agent restarts", []Sign{SignLeft, SignBack}, bus.Reboot{}},
		{"it shuts down", []Sign{SignLeft}, bus.Reboot{Left: at(1)}},
		{"it reboots", []Sign{SignLeft, SignRestarted}, bus.Reboot{At: at(2)}},
		{"it has rebooted", []Sign{SignLeft, SignRestarted, SignBack}, bus.Reboot{At: at(2)}},
		{"it has rebooted, and its agent restarts", []Sign{SignRestarted, SignBack, SignLeft, SignBack}, bus.Reboot{At: at(1)}},
		{"it is reset", []Sign{SignRestarted}, bus.Reboot{At: at(1)}},
	} {
		var got bus.Reboot
		for i, s := range tt.signs {
			got = s.noted(got, at(i+1))
		}
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
