package model

import (
	"testing"

	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

// A group that leaves the config is forgotten soon; one that is silent because a stage is gone stays, to be seen.
func TestDroppedGroupIsForgotten(t *testing.T) {
	type message struct {
		group string
		what  string
		host  string
	}
	both := []message{{"web", "sample", "kvm1"}, {"web", "decision", ""}, {"old", "sample", "kvm1"}, {"old", "decision", ""}}
	for name, tt := range map[string]struct {
		goesOn []message
		stays  bool
	}{
		"the others go on":         {[]message{{"web", "sample", "kvm1"}, {"web", "decision", ""}}, false},
		"nobody speaks":            {nil, true},
		"no decider":               {[]message{{"web", "sample", "kvm1"}}, true},
		"no collector on its host": {[]message{{"web", "decision", ""}, {"web", "sample", "kvm2"}}, true},
		"its samples go on":        {[]message{{"web", "sample", "kvm1"}, {"web", "decision", ""}, {"old", "sample", "kvm1"}}, true},
		"its decisions go on":      {[]message{{"web", "sample", "kvm1"}, {"web", "decision", ""}, {"old", "decision", ""}}, true},
	} {
		m := New(modeltest.At(0), Sizes{Entries: 5})
		for second := range 60 {
			now := modeltest.At(float64(second))
			messages := tt.goesOn
			if second < 10 {
				messages = both
			}
			for _, msg := range messages {
				if msg.what == "sample" {
					m.Sample(modeltest.Sample(msg.group, msg.host, float64(second)), now)
				} else {
					m.Decision(modeltest.Decision(msg.group, float64(second)), now)
				}
			}
			m.Forget(now)
			if second == 35 && m.Group("old") == nil {
				t.Errorf("%s: it is forgotten too early", name)
			}
		}
		if stays := m.Group("old") != nil; stays != tt.stays {
			t.Errorf("%s: after 50 s of silence it is there: %v, want %v", name, stays, tt.stays)
		}
		if m.Group("web") == nil {
			t.Errorf("%s: the other one is forgotten", name)
		}
	}
}
