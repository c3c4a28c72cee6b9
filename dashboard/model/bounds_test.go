package model

import (
	"fmt"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// keeps is what the model keeps.
func keeps(m *Model) (hosts, vms, histories int) {
	for _, g := range m.groups {
		hosts += len(g.hosts)
		for _, h := range g.hosts {
			vms, histories = vms+len(h.sample.VMs), histories+len(h.history)
		}
	}
	return hosts, vms, histories
}

func many(n int) (vms []bus.VM) {
	for i := range n {
		vms = append(vms, vm(fmt.Sprintf("web-%d", i), ptr(1.0)))
	}
	return vms
}

// Whoever has a role's credentials can make up hosts, groups, stages and VMs. None of it takes memory without end, and what
// was there before stays in sight.
func TestFloodOfInventedHosts(t *testing.T) {
	m := New(start, sizes)
	for i := range 10 {
		m.Sample(sample("web", "honest", float64(i), vm("web-1", ptr(1.0))), at(float64(i)))
		h := health("collector", float64(i))
		h.Instance = "honest-1"
		m.Health(h, at(float64(i)))
	}
	for i := range 3000 {
		now := at(10 + float64(i)/1000)
		m.Sample(sample("web", fmt.Sprint("invented", i), 10, many(3)...), now)
		m.Sample(sample(fmt.Sprint("invented", i%150), fmt.Sprint("kvm", i), 10, many(3)...), now)
		h := health("collector", 10)
		h.Instance = fmt.Sprint("invented-", i)
		m.Health(h, now)
		if hosts, vms, histories := keeps(m); hosts > maxAllHosts || vms > maxVMs || histories > sizes.Histories+3 ||
			len(m.stages) > maxStages {
			t.Fatalf("%d hosts, %d VMs, %d histories, %d stages", hosts, vms, histories, len(m.stages))
		}
	}
	if honest := m.groups["web"].hosts["honest"]; honest == nil || len(honest.history["web-1"].points) == 0 {
		t.Error("the host that was there before is not shown any more")
	}
	if m.stages[stageKey{"collector", "honest-1"}] == nil {
		t.Error("the stage that was there before is not shown any more")
	}
}

// Large samples push out large ones.
func TestFloodOfInventedVMs(t *testing.T) {
	m := New(start, sizes)
	for i := range 10 {
		m.Sample(sample("web", "honest", float64(i), vm("web-1", ptr(1.0))), at(float64(i)))
	}
	large := many(bus.MaxVMs)
	for i := range 20 {
		m.Sample(sample("web", fmt.Sprint("invented", i), 10, large...), at(10))
		if _, vms, histories := keeps(m); vms > maxVMs || histories > sizes.Histories {
			t.Fatalf("%d VMs, %d histories", vms, histories)
		}
	}
	if m.groups["web"].hosts["honest"] == nil {
		t.Error("the host that was there before is not shown any more")
	}
}
