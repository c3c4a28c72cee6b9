package decider

import (
	"errors"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// What a person wants of a host is kept, told, shown, and refused where there is no such host.
func TestHostOrders(t *testing.T) {
	b := startHarness(t, spec(bounds(4, 9)))
	events := make(chan bus.Event, 64)
	if err := client.Subscribe(b.conn, bus.AllEvents, events); err != nil {
		t.Fatal(err)
	}
	b.meet("kvm1", "kvm2")
	b.second("kvm1", "kvm2")
	ask := func(host string, action bus.HostAction) error {
		_, err := client.Ask[bus.Status](t.Context(), b.conn, bus.VerbHost, bus.Query{
			Host: host, HostAction: action, By: "ann@kvm1", Reason: "new memory",
		})
		return err
	}
	for _, tt := range []struct {
		host   string
		action bus.HostAction
		code   bus.RefusalCode
	}{
		{"kvm9", bus.HostCordon, bus.RefusedUnknown}, {"kvm1", "shoot", bus.RefusedMalformed}, {"", bus.HostDrain, bus.RefusedUnknown},
	} {
		var refused *bus.RefusedError
		if err := ask(tt.host, tt.action); !errors.As(err, &refused) || refused.Code != tt.code {
			t.Errorf("%s %q: %v, want %s", tt.action, tt.host, err, tt.code)
		}
	}
	if err := ask("kvm2", bus.HostUncordon); err != nil { // which it is: nothing to say
		t.Error(err)
	}
	if err := ask("kvm2", bus.HostCordon); err != nil {
		t.Fatal(err)
	}
	e := bustest.Receive(t, events, "event")
	if e.Sentence != `host kvm2 is cordoned; by ann@kvm1 ("new memory")` || e.By != "ann@kvm1" ||
		e.Event != bus.EventHost {
		t.Errorf("told %+v", e)
	}
	d := b.seconds(5, stands("kvm2", bus.HostCordoned), "kvm1", "kvm2")
	if o := d.Hosts["kvm2"].Order; !o.Is(bus.HostCordon) || o.By != "ann@kvm1" || len(d.Shares["kvm2"].Numbers) != 0 {
		t.Errorf("cordoned: %+v", d)
	}
	if err := ask("kvm2", bus.HostUncordon); err != nil {
		t.Fatal(err)
	}
	b.seconds(5, func(d bus.Decision) bool { return d.ID != "" && len(d.Hosts) == 0 }, "kvm1", "kvm2")
}

// They are kept for the decider that leads next.
func TestHostOrdersAreKept(t *testing.T) {
	s := bustest.StartWith(t, server.Config{Listen: "127.0.0.1:0", StateDir: t.TempDir()})
	d := &Decider{conn: bustest.Join(t, s, string(bus.RoleDecider))}
	kept := HostOrders{"kvm2": {Action: bus.HostDrain, By: "ann", Since: t0}, "kvm3": {Action: "paint", Since: t0}}
	if err := d.conn.Save(t.Context(), hostOrdersKey, kept); err != nil {
		t.Fatal(err)
	}
	if err := d.loadHostOrders(t.Context()); err != nil || len(d.hostOrders) != 1 || d.hostOrders["kvm2"].Action != bus.HostDrain {
		t.Errorf("read %+v, %v", d.hostOrders, err)
	}
}
