package collector

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// publish turns a pass into one sample per group. The error is of samples that nobody would take.
func (c *Collector) publish(p pass) (unfit error) {
	hostLoad := p.host
	if time.Since(c.poolFreeAt) < slowMaxAge {
		hostLoad.PoolFreeMiB = c.poolFree
	}
	if pct, ok := hostPercent(c.hostBefore, p.counter); ok {
		hostLoad.CPUPercent = &pct
	}
	c.hostBefore = p.counter

	vms := map[string][]bus.VM{}
	clear(c.unconfigured)
	before, stills := map[string]counter{}, map[string]stall{}
	var running []runningVM
	for _, r := range p.readings {
		vms[r.meta.Group] = append(vms[r.meta.Group], c.vm(r))
		if !r.counter.at.IsZero() {
			if was := c.before[r.uuid]; was.run != r.counter.run || was.exact != r.counter.exact {
				from := map[bool]string{true: "the kernel", false: "libvirt"}[r.counter.exact]
				c.log.Debug().Str("vm", r.name).Msg("its CPU time is read from " + from)
			}
			before[r.uuid], stills[r.uuid] = r.counter, c.stalls[r.uuid].next(r.counter)
			running = append(running, runningVM{r.name, r.uuid, c.rates[r.meta.Group]})
		}
		if _, known := c.hashes[r.meta.Group]; !known {
			c.unconfigured[r.meta.Group]++
		}
	}
	c.before, c.stalls, c.running = before, stills, running

	now := time.Now().UTC()
	hostLoad.Domain = c.cfg.Domain
	hostLoad.MemoryPromisedMiB = c.promised(p.readings, now)
	for _, g := range c.cfg.Groups {
		list := vms[g.Name]
		if list == nil {
			list = []bus.VM{} // empty, not unknown
		}
		slices.SortFunc(list, func(a, b bus.VM) int {
			if d := a.Created.Compare(b.Created); d != 0 {
				return d
			}
			return strings.Compare(a.Name, b.Name)
		})
		s := bus.Sample{
			V: bus.Version, Group: g.Name, HostID: p.size.id, Host: p.size.name, Instance: c.cfg.Instance, Time: now, VMs: list,
			HostLoad: hostLoad, ElapsedMS: float64(p.elapsed.Microseconds()) / 1000, SpecHash: c.hashes[g.Name],
		}
		if err := c.conn.Publish(&s); errors.Is(err, bus.ErrUnfit) {
			unfit = errors.Join(unfit, fmt.Errorf("group %s: %w", g.Name, err))
		} else if err != nil {
			c.log.Debug().Err(err).Str("group", g.Name).Msg("sample lost, the next one is complete again")
		}
	}
	return unfit
}

// promised is what the host's running domains may still touch of their memory.
func (c *Collector) promised(readings []reading, now time.Time) *int {
	given := map[string]int{}
	for _, r := range readings {
		if r.state != bus.StateShutoff && r.state != bus.StateCrashed {
			given[r.uuid], c.ran[r.uuid] = r.memoryMiB, true
		}
	}
	known := c.promises.latest.Load()
	ended := map[string]bool{}
	for uuid := range c.ran {
		if _, runs := given[uuid]; runs {
			continue
		}
		ended[uuid] = true
		if !known.has(uuid) {
			delete(c.ran, uuid)
		}
	}
	return promisedMiB(known, now, given, ended)
}

// vm makes the message's view of a reading. Counter windows from half a tick to five ticks count.
func (c *Collector) vm(r reading) bus.VM {
	vm := bus.VM{
		Name: r.name, UUID: r.uuid, State: r.state, Phase: r.meta.Phase, PhaseSince: r.meta.Since.UTC(), Created: r.meta.Created.UTC(),
		VCPUs: r.counter.vcpus, MemoryMiB: r.memoryMiB, Protected: r.protected, Order: r.order,
		RebootedAt: r.rebooted, Template: r.meta.Template, Machine: r.meta.Machine,
		Storage: r.meta.Storage, Restarting: !r.meta.Reimaging.IsZero() && r.meta.Restarts,
		Handed: !r.meta.Handed.IsZero(), Retiring: !r.meta.Retiring.IsZero(), Reimaging: !r.meta.Reimaging.IsZero(),
	}
	if !r.meta.Booted.IsZero() {
		vm.BootedAt = new(r.meta.Booted.UTC())
	}
	if !r.meta.Restarted.IsZero() {
		vm.RestartedAt = new(r.meta.Restarted.UTC())
	}
	if r.err != nil {
		vm.Error = r.err.Error()
	}
	if r.counter.at.IsZero() {
		return vm
	}
	if pct, ok := percent(c.before[r.uuid], r.counter, c.cfg.Tick/2, 5*c.cfg.Tick); ok {
		pct = math.Round(pct*10) / 10
		vm.CPUPercent = &pct
	}
	if age, stuck := c.stalls[r.uuid].next(r.counter).stuck(r.counter.at, c.cfg.Tick); stuck {
		vm.CPUPercent = nil
		vm.Error = fmt.Sprintf("its CPU counter has not moved for %d s", int(age.Seconds()))
	}
	c.reach(&vm, r)
	if s, ok := c.slow[r.uuid]; ok && s.run == r.counter.run && r.counter.at.Sub(s.at) < slowMaxAge {
		vm.MemoryUsedMiB, vm.RunDelayPercent, vm.Rates = s.memoryUsedMiB, s.delayPercent, s.rates
	}
	return vm
}

// reach completes where others reach a VM that runs. An address that was seen holds for as long as it runs; before that there
// is the one that its launch hook was given. Forwarded ports are those of the group, if the VM was made from what that says
// now.
func (c *Collector) reach(vm *bus.VM, r reading) {
	if a, usable := bus.UsableAddress(r.meta.Address); usable { // whoever may write to libvirt can have put anything there
		vm.Address = a.String()
	}
	if s, ok := c.slow[r.uuid]; ok && s.run == r.counter.run && s.address != "" {
		vm.Address = s.address
	}
	for _, g := range c.cfg.Groups {
		n, is := bus.VMNumber(g.Name, r.name)
		if is && g.Name == r.meta.Group && len(g.Hardware.NICs) > 0 && g.MachineHash() == r.meta.Machine {
			vm.Forwards = g.ForwardsOf(n)
		}
	}
}
