package dashboard

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// table is the VMs of a group on this page.
type table struct {
	page
	g       *model.Group
	upper   float64
	columns []column
}

func (p page) table(g *model.Group) table {
	t := table{page: p, g: g, upper: g.Upper()}
	t.columns = t.choose()
	return t
}

// column is one of the table's; what its cells hold is cut to its width.
type column struct {
	name  string
	width int
	right bool
	cell  func(l *line, r row, width int)
}

// row is a VM, and what of its host its cells need.
type row struct {
	vm      bus.VM
	host    *model.Host
	stale   bool      // the host's figures are too old to show
	clock   time.Time // now, by the host's own clock
	machine string    // what new VMs of the group are made from
}

// choose is the columns that there is room for. The name and the CPU are always shown.
func (t table) choose() []column {
	longest, longestHost := 4, 4
	hosts := t.g.Hosts()
	for _, h := range hosts {
		sample := h.Sample()
		longestHost = max(longestHost, textWidth(t.style.clean(sample.Host)))
		for _, vm := range sample.VMs {
			longest = max(longest, textWidth(t.style.clean(vm.Name)))
		}
	}
	var (
		name  = column{"VM", min(longest, max(t.width/4, min(16, t.width-12), 1)), false, nameCell}
		host  = column{"HOST", min(longestHost, 20), false, hostCell}
		phase = column{"PHASE", 13, false, phaseCell}
		cpu   = column{"CPU", 5, true, t.cpuCell}
		spark = column{"LAST 60 s", 10, false, t.sparkCell}
		vcpus = column{"vCPU", 4, true, vcpusCell}
		mem   = column{"MEMORY", 11, true, memoryCell}
		age   = column{"AGE", 6, true, ageCell}
	)
	if len(hosts) <= 1 {
		host.width = 0
	}
	rest := t.width - 2 - name.width - 2 - cpu.width - 1
	for _, c := range []*column{&phase, &spark, &age, &mem, &vcpus, &host} { // the most useful first
		if c.width == 0 || rest < c.width+2 {
			c.width = 0
			continue
		}
		rest -= c.width + 2
	}
	if rest >= 12 && phase.width > 0 {
		phase.width += 10
		rest -= 10
	}
	if spark.width > 0 {
		// As many parts of the minute as there is room for, each of whole seconds.
		for _, seconds := range []int{1, 2, 3, 4, 5} {
			if n := 60 / seconds; n <= spark.width+rest {
				spark.width = n
				break
			}
		}
	}
	all := []column{name, host, phase, cpu, spark, vcpus, mem, age}
	return slices.DeleteFunc(all, func(c column) bool { return c.width == 0 })
}

func (t table) lines(d detail) []*line {
	if t.g.VMs() == 0 {
		return nil
	}
	var lines []*line
	if d.names && d.vms > 0 {
		lines = append(lines, t.names())
	}
	decision, _ := t.g.Decision()
	shown, busy, hidden := 0, 0, 0
	for _, h := range t.g.Hosts() {
		r := row{host: h, stale: h.Stale(t.now), clock: h.Clock(t.now), machine: decision.Machine}
		for _, vm := range h.Sample().VMs {
			if shown < d.vms {
				r.vm = vm
				lines = append(lines, t.row(r))
				shown++
				continue
			}
			hidden++
			if vm.CPUPercent != nil && t.upper > 0 && *vm.CPUPercent > t.upper && !r.stale {
				busy++
			}
		}
	}
	if hidden > 0 {
		l := t.line().add(toneDim, fmt.Sprintf("  … %d more", hidden))
		if busy > 0 {
			l.add(toneDim, ", ").add(toneBad, fmt.Sprintf("%d above %.4g %%", busy, t.upper))
		}
		lines = append(lines, l)
	}
	return lines
}

// names is the line above the rows.
func (t table) names() *line {
	l := t.line().add(toneText, "  ")
	for _, c := range t.columns {
		if c.right {
			l.cellRight(toneDim, c.name, c.width)
		} else {
			l.cell(toneDim, c.name, c.width)
		}
		l.add(toneText, "  ")
	}
	return l
}

func (t table) row(r row) *line {
	l := t.line().add(toneText, "  ")
	for _, c := range t.columns {
		c.cell(l, r, c.width)
		l.add(toneText, "  ")
	}
	return l
}

func nameCell(l *line, r row, width int) {
	l.cell(toneText, l.style.cutLeft(l.style.clean(r.vm.Name), width), width)
}

func hostCell(l *line, r row, width int) { l.cell(toneDim, r.host.Sample().Host, width) }

func phaseCell(l *line, r row, width int) {
	text, t := phase(r.vm, r.machine, r.clock, width)
	if r.stale {
		t = toneDim
	}
	l.cell(t, text, width)
}

func (t table) cpuCell(l *line, r row, _ int) {
	cpu := r.vm.CPUPercent
	if r.stale {
		cpu = nil
	}
	l.percent(cpu, t.upper)
}

// sparkCell is the last minute of the VM's CPU, or why it is not known.
func (t table) sparkCell(l *line, r row, width int) {
	end := l.width + width
	if r.vm.Error != "" {
		l.cell(toneBad, r.vm.Error, width)
	} else {
		for _, value := range r.host.CPU(r.vm.Name, width, t.now) {
			l.add(cpuTone(value, t.upper), spark(value))
		}
	}
	l.to(end)
}

func vcpusCell(l *line, r row, width int) { l.cellRight(toneText, fmt.Sprint(r.vm.VCPUs), width) }

func memoryCell(l *line, r row, width int) {
	l.cellRight(toneText, memory(r.vm.MemoryUsedMiB, r.vm.MemoryMiB, width), width)
}

func ageCell(l *line, r row, width int) {
	text := "–"
	if !r.vm.Created.IsZero() {
		text = age(r.clock.Sub(r.vm.Created))
	}
	l.cellRight(toneDim, text, width)
}

// startsWithin is how long libvirt may take to start a VM before that looks wrong.
const startsWithin = 5 * time.Second

// serving is the phase of a VM that serves, with what is to be known of it, in as many words as there is room for. That it is
// protected, or outdated, implies that it serves.
func serving(text string, protected bool, age string, width int) (string, tone) {
	t := toneGood
	if age != "" {
		t = toneWarn
	}
	var words []string
	switch {
	case protected && age != "":
		words = []string{text + ", protected, " + age, "protected, " + age, age + " prot", age}
	case protected:
		words = []string{text + ", protected", "protected"}
	case age != "":
		words = []string{text + ", " + age, age}
	default:
		words = []string{text}
	}
	for _, w := range words {
		if textWidth(w) <= width {
			return w, t
		}
	}
	return words[len(words)-1], t
}

// phase is where the VM stands, and its state where that is not what the phase implies.
func phase(vm bus.VM, machine string, now time.Time, width int) (string, tone) {
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
		if vm.Phase.Serves() {
			return serving(text, vm.Protected, cmp.Or(model.Ordered(vm), model.Age(vm, machine)), width)
		}
	case bus.PhaseFailed:
		return text, toneBad
	case bus.PhaseStandby:
		if note := model.Ordered(vm); note != "" {
			text += ", " + note
		} else if !running {
			text += ", " + string(vm.State)
		}
	case bus.PhaseWarm: // paused or off, as its group has it
		return text + " " + age(now.Sub(vm.PhaseSince)), toneDim
	case bus.PhaseCreating, bus.PhasePreparing, bus.PhaseDraining, bus.PhaseStopping, bus.PhaseRetained:
	}
	if !vm.PhaseSince.IsZero() {
		text += " " + age(now.Sub(vm.PhaseSince))
	}
	return text, toneWarn
}
