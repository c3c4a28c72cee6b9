package server

import (
	"reflect"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	agent := func(id string, minute int) Agent {
		return Agent{Name: "kvm1", HostID: bus.HostID(id), Added: noon.Add(time.Duration(minute) * time.Minute)}
	}
	one, newer := agent("id-1", 0), agent("id-2", 5)
	gone := func(minute int) shared { return shared{gone: true, at: noon.Add(time.Duration(minute) * time.Minute)} }
	none := map[string]Agent{}
	has := func(a Agent) map[string]Agent { return map[string]Agent{"kvm1": a} }
	for name, tt := range map[string]struct {
		folder, before map[string]Agent
		all            map[string]shared
		want           spreading
	}{
		"nothing":          {none, nil, map[string]shared{}, spreading{}},
		"joined here":      {has(one), none, map[string]shared{}, spreading{put: []Agent{one}}},
		"joined elsewhere": {none, none, map[string]shared{"kvm1": {agent: one}}, spreading{write: []Agent{one}}},
		"the same":         {has(one), has(one), map[string]shared{"kvm1": {agent: one}}, spreading{}},
		"taken away here": {
			none, has(one),
			map[string]shared{"kvm1": {agent: one}},
			spreading{drop: []string{"kvm1"}},
		},
		"taken away elsewhere": {
			has(one), has(one),
			map[string]shared{"kvm1": gone(1)},
			spreading{remove: []string{"kvm1"}},
		},
		"taken away while it was down": {has(one), nil, map[string]shared{"kvm1": gone(1)}, spreading{remove: []string{"kvm1"}}},
		"gone everywhere":              {none, none, map[string]shared{"kvm1": gone(1)}, spreading{}},
		"joined again here":            {has(newer), none, map[string]shared{"kvm1": gone(1)}, spreading{put: []Agent{newer}}},
		"joined again elsewhere": {
			has(one), has(one),
			map[string]shared{"kvm1": {agent: newer}},
			spreading{write: []Agent{newer}},
		},
		"taken away here, joined there": {
			none, has(one),
			map[string]shared{"kvm1": {agent: newer}},
			spreading{write: []Agent{newer}},
		},
		"at the start, one unknown here": {none, nil, map[string]shared{"kvm1": {agent: one}}, spreading{write: []Agent{one}}},
		"here newer than elsewhere": {
			has(newer), nil,
			map[string]shared{"kvm1": {agent: one}},
			spreading{put: []Agent{newer}},
		},
	} {
		if got := spread(tt.folder, tt.before, tt.all); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
}
