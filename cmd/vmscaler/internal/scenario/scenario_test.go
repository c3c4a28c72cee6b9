package scenario

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// What did not happen is named with how long it was waited for and how busy the host is.
func TestStepThatDoesNotHappen(t *testing.T) {
	for _, tt := range []struct {
		busy      *float64
		want, not string
	}{
		{
			new(97.0), "VMs: none; the host: 2 cores, 97 % busy, so wait until it is less so, or give each step more time with --patience",
			"",
		},
		{new(20.0), "; the host: 2 cores, 20 % busy", "--patience"},
		{nil, "VMs: none", "the host"},
	} {
		r := &runner{
			cfg: Config{Patience: time.Millisecond}, sample: bus.Sample{HostLoad: bus.Host{Cores: 2, CPUPercent: tt.busy}},
		}
		err := r.until(context.Background(), "the first VM is ready", func() bool { return false })
		if err == nil || !strings.Contains(err.Error(), "after 1ms it has not happened that the first VM is ready; ") ||
			!strings.Contains(err.Error(), tt.want) || tt.not != "" && strings.Contains(err.Error(), tt.not) {
			t.Errorf("got %v, want %q in it, and not %q", err, tt.want, tt.not)
		}
	}
}
