package simulate

import (
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/decider/policy"
)

func TestCheckPolicies(t *testing.T) {
	if err := CheckPolicies(Policies()); err != nil {
		t.Error(err)
	}
	if err := CheckPolicies([]string{"hpa", "magic"}); err == nil ||
		!strings.Contains(err.Error(), `found "magic", want one of [threshold predictive`) {
		t.Error(err)
	}
}

func reading(second int, cpu float64, ready, coming, desired int) policy.Reading {
	return policy.Reading{
		Now: monday.Add(
			time.Duration(second) * time.Second,
		), CPUPercent: &cpu, Ready: ready, Coming: coming, Desired: desired, Min: 1, Max: 100,
	}
}

// By the algorithm's page: 200m of a target of 100m doubles, 50m halves; within 10 % nothing happens; pods that are not
// ready count as 0 when scaling out.
func TestHPA(t *testing.T) {
	for _, tt := range []struct {
		cpu            float64
		ready, unready int
		want           int
	}{
		{200, 3, 0, 6},
		{50, 4, 0, 2},
		{109, 10, 0, 10},
		{91, 10, 0, 10},
		{111, 10, 0, 12},
		{89, 10, 0, 9},
		{200, 3, 3, 6},
		{200, 3, 1, 6},
		{120, 10, 10, 20},
		{50, 4, 4, 2},
	} {
		h := &hpa{target: 100}
		if got := h.want(tt.cpu, tt.ready, tt.unready); got != tt.want {
			t.Errorf("%g %% of %d ready and %d unready: %d, want %d", tt.cpu, tt.ready, tt.unready, got, tt.want)
		}
	}
	h := &hpa{target: 60}
	if w := h.Recommend(reading(0, 100, 3, 0, 3)); w.Desired != 5 {
		t.Errorf("out: %d", w.Desired)
	}
	if w := h.Recommend(reading(15, 100, 30, 0, 3)); w.Desired != 7 {
		t.Errorf("at most 4 or as many again: %d", w.Desired)
	}
	h = &hpa{target: 60}
	for second := 0; second <= 330; second += 15 {
		cpu := map[bool]float64{true: 60, false: 6}[second == 0]
		want := map[bool]int{true: 10, false: 1}[second <= 300]
		if w := h.Recommend(reading(second, cpu, 10, 0, 10)); w.Desired != want {
			t.Errorf("after %d s: %d, want %d", second, w.Desired, want)
		}
	}
}

func TestGCPKeepsTheHighestOfTenMinutes(t *testing.T) {
	g := &gcp{}
	for second := 0; second <= 900; second += 15 {
		cpu := map[bool]float64{true: 90, false: 6}[second < 60]
		w := g.Recommend(reading(second, cpu, 10, 0, 10))
		if want := 15; second > 0 && second < 600 && w.Desired != want {
			t.Errorf("after %d s: %d, want %d", second, w.Desired, want)
		}
		if second > 720 && w.Desired != 1 {
			t.Errorf("after %d s: %d", second, w.Desired)
		}
	}
}

// The projection: with 2 VMs at 29 % the load of one would be 58 %, so one can go; with an upper of 70 % 2 VMs at 40 % cannot.
func TestAzure(t *testing.T) {
	run := func(cpu float64, vms, minutes int) int {
		a := &azure{}
		for minute := range minutes {
			vms = a.Recommend(reading(60*minute, cpu, vms, 0, vms)).Desired
		}
		return vms
	}
	for _, tt := range []struct {
		cpu                float64
		vms, minutes, want int
	}{
		{90, 2, 9, 2},
		{90, 2, 10, 3},
		{90, 2, 14, 3},
		{90, 2, 15, 4},
		{29, 2, 10, 1},
		{31, 2, 30, 2},
		{70, 5, 30, 5},
		{10, 1, 30, 1},
	} {
		if got := run(tt.cpu, tt.vms, tt.minutes); got != tt.want {
			t.Errorf("%g %% of %d VMs for %d minutes: %d, want %d", tt.cpu, tt.vms, tt.minutes, got, tt.want)
		}
	}
}
