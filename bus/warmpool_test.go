package bus_test

import (
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

func TestWarmSize(t *testing.T) {
	for _, tt := range []struct {
		text string
		want bus.WarmSize
		bad  bool
	}{
		{"0", bus.WarmSize{}, false},
		{"2", bus.WarmSize{VMs: 2}, false},
		{"1000", bus.WarmSize{VMs: 1000}, false},
		{"1001", bus.WarmSize{}, true},
		{"50%", bus.WarmSize{Percent: 50}, false},
		{"1000%", bus.WarmSize{Percent: 1000}, false},
		{"1001%", bus.WarmSize{}, true},
		{"max-minus-desired", bus.WarmSize{Rest: true}, false},
		{"forecast", bus.WarmSize{Forecast: true}, false},
		{"", bus.WarmSize{}, true},
		{"%", bus.WarmSize{}, true},
		{"-1", bus.WarmSize{}, true},
		{"1.5", bus.WarmSize{}, true},
		{"all", bus.WarmSize{}, true},
	} {
		got, err := bus.ParseWarmSize(tt.text)
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%q: got %+v and %v, want %+v", tt.text, got, err, tt.want)
		}
		if !tt.bad && got.String() != tt.text {
			t.Errorf("%q is printed as %q", tt.text, got)
		}
	}
}

func TestWarmPoolWants(t *testing.T) {
	for _, tt := range []struct {
		size                       string
		desired, most, taken, want int
	}{
		{"0", 1, 5, 0, 0},
		{"2", 1, 5, 0, 2},
		{"2", 4, 5, 0, 1},
		{"2", 5, 5, 0, 0},
		{"2", 6, 5, 0, 0},
		{"2", 2, 5, 2, 1},
		{"2", 0, 5, 0, 2},
		{"50%", 0, 5, 0, 0},
		{"50%", 1, 5, 0, 1},
		{"50%", 3, 9, 0, 2},
		{"50%", 4, 5, 0, 1},
		{"max-minus-desired", 2, 5, 0, 3},
		{"max-minus-desired", 2, 5, 1, 2},
		{"max-minus-desired", 5, 5, 0, 0},
	} {
		size, err := bus.ParseWarmSize(tt.size)
		if err != nil {
			t.Fatal(err)
		}
		if got := (bus.WarmPool{Size: size}).Wants(tt.desired, tt.most, tt.taken); got != tt.want {
			t.Errorf("%s of %d desired, max %d, %d taken: %d, want %d", tt.size, tt.desired, tt.most, tt.taken, got, tt.want)
		}
	}
}

func TestWarmPoolSized(t *testing.T) {
	for _, tt := range []struct {
		name        string
		size        string
		least, most int
		forecast    *int
		want        string
	}{
		{"what is forecast", "forecast", 0, 0, new(3), "3"},
		{"min of the pool", "forecast", 2, 0, new(1), "2"},
		{"max of the pool", "forecast", 0, 4, new(9), "4"},
		{"nothing is expected to rise", "forecast", 0, 4, new(0), "0"},
		{"not known", "forecast", 1, 4, nil, "1"},
		{"another size", "50%", 0, 0, new(3), "50%"},
	} {
		size, err := bus.ParseWarmSize(tt.size)
		if err != nil {
			t.Fatal(err)
		}
		p := bus.WarmPool{Size: size, Min: tt.least, Max: tt.most}
		if got := p.Sized(tt.forecast).Size.String(); got != tt.want || !p.On() {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestWarmStateOf(t *testing.T) {
	one := bus.WarmSize{VMs: 1}
	for _, tt := range []struct {
		pool  bus.WarmPool
		stops bool
		want  bus.WarmState
	}{
		{bus.WarmPool{Size: one}, false, bus.WarmPaused},
		{bus.WarmPool{Size: one, State: bus.WarmSaved}, false, bus.WarmSaved},
		{bus.WarmPool{Size: one, State: bus.WarmStopped}, false, bus.WarmStopped},
		{bus.WarmPool{Size: one, Stopped: one}, false, bus.WarmPaused},
		{bus.WarmPool{Size: one, Stopped: one}, true, bus.WarmStopped},
		{bus.WarmPool{Size: one, State: bus.WarmSaved, Stopped: one}, false, bus.WarmSaved},
		{bus.WarmPool{Size: one, State: bus.WarmSaved, Stopped: one}, true, bus.WarmStopped},
	} {
		if got := tt.pool.StateOf(bus.Metadata{Stops: tt.stops}); got != tt.want || got.TakesMemory() != (got == bus.WarmPaused) {
			t.Errorf("%+v, stops %t: %q, want %q", tt.pool, tt.stops, got, tt.want)
		}
	}
}

func TestWarmPoolOfTwoKinds(t *testing.T) {
	for _, tt := range []struct {
		paused, stopped                    string
		desired, most, taken, want, pauses int
	}{
		{"1", "3", 1, 9, 0, 4, 1},
		{"1", "3", 6, 9, 0, 3, 1},
		{"3", "3", 6, 9, 1, 2, 2},
		{"0", "3", 1, 9, 0, 3, 0},
		{"50%", "max-minus-desired", 2, 9, 0, 7, 1},
		{"max-minus-desired", "2", 2, 5, 0, 3, 3},
	} {
		var p bus.WarmPool
		p.Size, _ = bus.ParseWarmSize(tt.paused)
		p.Stopped, _ = bus.ParseWarmSize(tt.stopped)
		got := p.Wants(tt.desired, tt.most, tt.taken)
		if pauses := p.Pauses(got, tt.desired); got != tt.want || pauses != tt.pauses || !p.On() {
			t.Errorf("%+v: %d with %d paused", tt, got, pauses)
		}
	}
}
