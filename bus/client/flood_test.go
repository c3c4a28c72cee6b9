package client_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
)

// One host that floods the bus, and one that makes up hosts, do not hold up the samples of another.
func TestFloodOfSamplesHoldsNoOtherHost(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	collector, decider := bustest.Join(t, s, string(bus.RoleCollector)), bustest.Join(t, s, string(bus.RoleDecider))
	out := make(chan bus.Sample)
	if err := client.SubscribeNewest(decider, bus.AllSamples, out); err != nil {
		t.Fatal(err)
	}
	honest := bustest.Sample()
	honest.Host, honest.HostID = "honest", "honest"
	bustest.PublishAll(t, collector, honest)
	bustest.Receive(t, out, "first sample")
	flood := bustest.Fleet(bus.MaxVMs/100, "flood")
	flood.Host, flood.HostID = "flood", "flood"
	large, err := json.Marshal(flood)
	if err != nil {
		t.Fatal(err)
	}
	invented, err := json.Marshal(bustest.Sample())
	if err != nil {
		t.Fatal(err)
	}
	for round := range 5 {
		for i := range 100 { // in front of what is taken
			for subject, data := range map[string][]byte{
				flood.Subject(): large,
				fmt.Sprintf("vmscaler.sample.web.invented%d-%d", round,
					i): []byte(strings.ReplaceAll(string(invented), string(bustest.Sample().HostID), fmt.Sprintf("invented%d-%d", round, i))),
			} {
				if err := collector.NATS().Publish(subject, data); err != nil {
					t.Fatal(err)
				}
			}
		}
		honest.HostLoad.Cores = 100 + round
		bustest.PublishAll(t, collector, honest)
		for others := 0; ; others++ {
			got := bustest.Receive(t, out, "sample")
			if got.Host == "honest" {
				if got.HostLoad.Cores != 100+round {
					t.Errorf("round %d: got the sample of round %d", round, got.HostLoad.Cores-100)
				}
				break
			}
			if others > 2*100*(round+1) { // what was sent before it
				t.Fatalf("round %d: %d samples of others were taken first", round, others)
			}
		}
	}
}
