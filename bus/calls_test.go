package bus_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func TestCallTimes(t *testing.T) {
	var none *bus.CallTimes
	none.Observe(bus.APIBus, "save", time.Second)
	if all := none.All(); all != nil {
		t.Errorf("a nil one has %+v", all)
	}
	var c bus.CallTimes
	c.Observe(bus.APILibvirt, "start", 5*time.Millisecond)
	c.Observe(bus.APILibvirt, "start", 2*time.Minute)
	c.Observe(bus.APIBus, "save", time.Microsecond)
	before := c.All()
	c.Begin(bus.APIBus, "load")()
	want := []bus.CallTime{
		{API: "bus", Call: "save", Count: 1, SumMS: .001, Within: []uint64{1, 1, 1, 1, 1, 1, 1, 1}},
		{API: "libvirt", Call: "start", Count: 2, SumMS: 120005, Within: []uint64{0, 1, 1, 1, 1, 1, 1, 1}},
	}
	if !reflect.DeepEqual(before, want) {
		t.Errorf("got %+v, want %+v", before, want)
	}
	if all := c.All(); len(all) != 3 || all[0].Call != "load" || all[0].Count != 1 {
		t.Errorf("then %+v", all)
	}
}
