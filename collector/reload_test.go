package collector

import (
	"context"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// The samples that follow a reload are of its groups, by their specs; one that has left is no more than a note.
func TestReload(t *testing.T) {
	conn := host(t)
	define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, time.Now()), true)
	b := start(t, dialTest)
	before := b.sample("web")
	reload := func(groups ...bus.Group) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := b.own.Reload(ctx, bus.Reload{Groups: groups}); err != nil {
			t.Fatal(err)
		}
	}
	web, cache := bus.DefaultGroup(), bus.DefaultGroup()
	web.Name, web.Max, cache.Name = "web", 9, "cache"
	reload(web, cache)
	b.until("a sample by the new spec", func(s bus.Sample) bool {
		return s.SpecHash == web.Hash() && s.SpecHash != before.SpecHash && len(s.VMs) == 1
	})
	b.sample("cache")

	reload(cache)
	b.flush() // what was published before it is here
	for len(b.samples) > 0 {
		<-b.samples
	}
	for range 3 {
		b.tick()
		select {
		case s := <-b.samples:
			if s.Group != "cache" {
				t.Errorf("found %+v of a group that has left", s)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no sample came")
		}
	}
}
