package bus_test

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

func TestParseCanary(t *testing.T) {
	for text, want := range map[string][2]int{"0": {}, "2": {2, 0}, "1000": {1000, 0}, "1%": {0, 1}, "100%": {0, 100}} {
		vms, percent, err := bus.ParseCanary(text)
		if err != nil || vms != want[0] || percent != want[1] {
			t.Errorf("%s: %d, %d, %v", text, vms, percent, err)
		}
	}
	for _, text := range []string{"", "%", "0%", "101%", "1001", "-1", "+1", "1.5", "all", "2 %", "99999999999"} {
		want := `found "` + text + `", want a whole number`
		if _, _, err := bus.ParseCanary(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCanaryOf(t *testing.T) {
	for _, tt := range []struct {
		vms, percent, desired, want int
	}{
		{0, 0, 8, 0},
		{2, 0, 8, 2},
		{2, 0, 1, 1},
		{2, 0, 0, 0},
		{0, 25, 8, 2},
		{0, 25, 9, 3},
		{0, 1, 4, 1},
		{0, 100, 4, 4},
		{0, 1, 0, 0},
	} {
		r := bus.Refresh{Phase: bus.RefreshCanary, From: "web-1", Canary: tt.vms, CanaryPercent: tt.percent}
		if got := r.CanaryOf(tt.desired); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
		if got, want := r.KeepsShare(), tt.vms+tt.percent > 0; got != want {
			t.Errorf("%+v: keeps its share: %t", tt, got)
		}
		ended, returned, machine := r, r, r
		ended.Phase, returned.Returned, machine.From = bus.RefreshCanceled, true, ""
		for what, r := range map[string]bus.Refresh{"canceled": ended, "returned": returned} {
			if r.KeepsShare() || r.CanaryOf(tt.desired) != 0 {
				t.Errorf("%+v: keeps a canary when it is %s", tt, what)
			}
		}
		if machine.KeepsShare() || machine.CanaryOf(tt.desired) != tt.want {
			t.Errorf("%+v: without a template before: %t, %d", tt, machine.KeepsShare(), machine.CanaryOf(tt.desired))
		}
	}
	if (*bus.Refresh)(nil).KeepsShare() {
		t.Error("no refresh keeps a share")
	}
	for want, o := range map[string]bus.RefreshOrder{
		"canary_percent: found 101, want":             {CanaryPercent: new(101)},
		"canary_percent: found 20 beside canary 2":    {Canary: new(2), CanaryPercent: new(20)},
		"canary_percent: found 0, want 1 to 100 perc": {CanaryPercent: new(0)},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
