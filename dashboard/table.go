package dashboard

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// column is one of the table's; cells are cut to its width.
type column struct {
	name  string
	width int
	right bool
}

// columns chooses what there is room for. A column that is left out has no width.
type columns struct {
	name, host, phase, cpu, spark, vcpus, memory, age column
}

func (v *view) columns(g *group) columns {
	longest, longestHost := 4, 4
	for _, h := range g.hosts {
		longestHost = max(longestHost, textWidth(v.style.clean(h.sample.Host)))
		for _, vm := range h.sample.VMs {
			longest = max(longest, textWidth(v.style.clean(vm.Name)))
		}
	}
	c := columns{
		name: column{name: "VM", width: min(longest, max(v.width/4, min(16, v.width-12), 1))},
		cpu:  column{name: "CPU", width: 5, right: true},
	}
	rest := v.width - 2 - c.name.width - 2 - c.cpu.width - 1
	take := func(to *column, name string, width int, right bool) {
		if rest >= width+2 {
			*to = column{name, width, right}
			rest -= width + 2
		}
	}
	take(&c.phase, "PHASE", 13, false)
	take(&c.spark, "LAST 60 s", 10, false)
	take(&c.age, "AGE", 6, true)
	take(&c.memory, "MEMORY", 11, true)
	take(&c.vcpus, "vCPU", 4, true)
	if len(g.hosts) > 1 {
		take(&c.host, "HOST", min(longestHost, 20), false)
	}
	if rest >= 12 && c.phase.width > 0 {
		c.phase.width += 10
		rest -= 10
	}
	if c.spark.width > 0 {
		// As many parts of the minute as there is room for, each of whole seconds.
		for _, seconds := range []int{1, 2, 3, 4, 5} {
			if n := 60 / seconds; n <= c.spark.width+rest {
				c.spark.width = n
				break
			}
		}
	}
	return c
}

func (v *view) table(g *group, d detail) []*line {
	rows := g.rows()
	if rows == 0 {
		return nil
	}
	c := v.columns(g)
	var lines []*line
	if d.names && d.vms > 0 {
		l := v.style.line().add(toneText, "  ")
		for _, col := range []column{c.name, c.host, c.phase, c.cpu, c.spark, c.vcpus, c.memory, c.age} {
			if col.width == 0 {
				continue
			}
			if col.right {
				l.cellRight(toneDim, col.name, col.width)
			} else {
				l.cell(toneDim, col.name, col.width)
			}
			l.add(toneText, "  ")
		}
		lines = append(lines, l)
	}
	shown, busy, hidden := 0, 0, 0
	upper := g.upper()
	for _, h := range g.sortedHosts() {
		for _, vm := range h.sample.VMs {
			if shown < d.vms {
				lines = append(lines, v.vm(h, vm, upper, c))
				shown++
				continue
			}
			hidden++
			if vm.CPUPercent != nil && upper > 0 && *vm.CPUPercent > upper && !h.stale(v.now) {
				busy++
			}
		}
	}
	if hidden > 0 {
		l := v.style.line().add(toneDim, fmt.Sprintf("  … %d more", hidden))
		if busy > 0 {
			l.add(toneDim, ", ").add(toneBad, fmt.Sprintf("%d above %.4g %%", busy, upper))
		}
		lines = append(lines, l)
	}
	return lines
}

func (v *view) vm(h *host, vm bus.VM, upper float64, c columns) *line {
	stale := h.stale(v.now)
	clock := h.clock(v.now)
	l := v.style.line().add(toneText, "  ").cell(toneText, v.style.cutLeft(v.style.clean(vm.Name), c.name.width), c.name.width).add(toneText, "  ")
	if c.host.width > 0 {
		l.cell(toneDim, h.sample.Host, c.host.width).add(toneText, "  ")
	}
	if c.phase.width > 0 {
		text, t := phase(vm, clock, c.phase.width)
		if stale {
			t = toneDim
		}
		l.cell(t, text, c.phase.width).add(toneText, "  ")
	}
	cpu := vm.CPUPercent
	if stale {
		cpu = nil
	}
	v.percent(l, cpu, upper)
	l.add(toneText, "  ")
	if c.spark.width > 0 {
		end := l.width + c.spark.width
		if vm.Error != "" {
			l.cell(toneBad, vm.Error, c.spark.width)
		} else if past := h.history[vm.Name]; past != nil {
			for _, value := range past.buckets(c.spark.width, clock, h.interval()) {
				l.add(cpuTone(value, upper), spark(value))
			}
		}
		l.to(end).add(toneText, "  ")
	}
	if c.vcpus.width > 0 {
		l.cellRight(toneText, fmt.Sprint(vm.VCPUs), c.vcpus.width).add(toneText, "  ")
	}
	if c.memory.width > 0 {
		l.cellRight(toneText, memory(vm.MemoryUsedMiB, vm.MemoryMiB, c.memory.width), c.memory.width).add(toneText, "  ")
	}
	if c.age.width > 0 {
		text := "–"
		if !vm.Created.IsZero() {
			text = age(clock.Sub(vm.Created))
		}
		l.cellRight(toneDim, text, c.age.width)
	}
	return l
}

// startsWithin is how long libvirt may take to start a VM before that looks wrong.
const startsWithin = 5 * time.Second

// phase is where the VM stands, and its state where that is not what the phase implies.
func phase(vm bus.VM, now time.Time, width int) (string, tone) {
	running := vm.State == bus.StateRunning || vm.State == ""
	text := string(vm.Phase)
	if text == "" {
		text = "–"
	}
	// libvirt starts a VM paused, for a moment.
	starting := vm.Phase == bus.PhaseLaunching && vm.State == bus.StatePaused && now.Sub(vm.PhaseSince) < startsWithin
	switch vm.Phase {
	case bus.PhaseReady, bus.PhaseLaunching:
		if !running && !starting {
			if both := text + ", " + string(vm.State); textWidth(both) <= width {
				return both, toneBad
			}
			return string(vm.State), toneBad
		}
		if vm.Phase == bus.PhaseReady {
			if vm.Protected { // which implies ready, where there is no room for both
				if text += ", protected"; textWidth(text) > width {
					text = "protected"
				}
			}
			return text, toneGood
		}
	case bus.PhaseFailed:
		return text, toneBad
	case bus.PhaseCreating, bus.PhaseDraining, bus.PhaseStopping:
	}
	if !vm.PhaseSince.IsZero() {
		text += " " + age(now.Sub(vm.PhaseSince))
	}
	return text, toneWarn
}
