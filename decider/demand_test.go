package decider

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func TestDemand(t *testing.T) {
	var m demand
	begin := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	add := func(second int, rule bus.Rule, average *float64, ready, warming, owned int) *bus.Demand {
		d := bus.Decision{
			Group:     "web",
			HasSample: true,
			Rule:      rule,
			Inputs:    bus.Inputs{AveragePercent: average, Ready: ready, Warming: warming, Owned: owned},
		}
		return m.add(d, begin.Add(time.Duration(second)*time.Second))
	}
	for _, got := range []*bus.Demand{
		add(12, bus.RuleStable, new(50.), 2, 0, 2),
		add(13, bus.RuleStable, new(100.), 2, 0, 3),
		add(14, bus.RuleNoData, new(7.), 2, 0, 2), // says nothing
		add(21, bus.RuleNoneReady, nil, 0, 0, 1),
		add(59, bus.RuleStable, new(30.), 1, 1, 2), // one that warms up has its share
	} {
		if got != nil {
			t.Fatalf("%+v before the minute is over", got)
		}
	}
	got, err := json.Marshal(add(60, bus.RuleStable, new(1.), 1, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":1,"group":"web","time":"2026-05-04T12:00:00Z","step_s":10,` +
		`"load":[null,1.5,null,null,null,0.6],"ready":[null,2,0,null,null,2],"owned":[null,3,1,null,null,2]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
