package actuator

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// A kept disk that anything else needs keeps its own name from being used, and no other.
func TestActuatorSetsNamesAside(t *testing.T) {
	b := newHost(t)
	kept := bus.KeptName("here", "web-1", 1)
	b.makeVolume(kept)
	dom, err := b.conn.DomainDefineXML(`<domain type='test'><name>rescue</name><memory unit='MiB'>64</memory>
		<os><type>hvm</type></os><devices><disk type='file'>
		<source file='/default-pool/` + kept + `'/><target dev='vda'/></disk></devices></domain>`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dom.Free() }()
	s := startStage(t, b, keeping(bus.KeepReplace, func(g *bus.Group) { g.Min, g.Max = 1, 3 }), dialTest)
	s.want(2, "2 VMs of other names", b.ready(2))
	var names []string
	for _, v := range b.inventory().Owned {
		names = append(names, v.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"web-2", "web-3"}) {
		t.Errorf("there are %v", names)
	}
	if !slices.Contains(b.volumes(), kept) {
		t.Errorf("%s is gone", kept)
	}
	s.stop()
	for err := range drained(s.reports) {
		if err != nil && strings.Contains(err.Error(), "no VM is made as web-1") && strings.Contains(err.Error(), "rescue") {
			return
		}
	}
	t.Error("it was not reported")
}

// drained are the reports that were made, of a stage that has stopped.
func drained(reports chan error) func(func(error) bool) {
	return func(yield func(error) bool) {
		for {
			select {
			case err := <-reports:
				if !yield(err) {
					return
				}
			default:
				return
			}
		}
	}
}
