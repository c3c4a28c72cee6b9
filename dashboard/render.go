package dashboard

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// calmBelow is the CPU in per cent up to which a VM is shown in green.
const calmBelow = 30

// Render draws the model: at most height lines of at most width cells each. Times of day are shown in now's
// location.
func Render(m *Model, width, height int, now time.Time, style Style) []string {
	if width <= 0 || height <= 0 {
		return nil
	}
	v := view{m: m, width: width, height: height, now: now, style: style}
	lines := v.frame()
	if len(lines) > height {
		lines = lines[:height]
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.render(width)
	}
	return out
}

// view is one rendering.
type view struct {
	m             *Model
	width, height int
	now           time.Time
	style         Style
}

// detail is how much is shown; Render takes the most that fits.
type detail struct {
	blanks   bool // blank lines between the parts
	names    bool // the table's header
	hosts    bool // the lines of the hosts
	bar      bool
	activity bool
	minVMs   int // rows per group that a level must have room for
	vms      int // rows per group at most
	log      int // lines of history to keep room for
}

func (v *view) frame() []*line {
	top := []*line{v.title()}
	top = append(top, v.notices()...)
	bottom := []*line{}
	if v.height >= 8 {
		bottom = append(bottom, v.footer())
	}
	room := v.height - len(top) - len(bottom)
	groups := v.m.sortedGroups()
	body, blanks := v.fit(groups, room)
	history := v.history(room-len(body), groups, blanks)

	lines := slices.Concat(top, body, history)
	if len(bottom) > 0 {
		for len(lines) < v.height-len(bottom) {
			lines = append(lines, v.style.line())
		}
	}
	return append(lines, bottom...)
}

// fit draws the groups in as much detail as there is room for.
func (v *view) fit(groups []*group, room int) (lines []*line, blanks bool) {
	most := 0
	for _, g := range groups {
		most = max(most, g.rows())
	}
	history := 0
	if len(v.m.entries) > 0 {
		history = 1 + min(4, len(v.m.entries))
	}
	levels := []detail{
		{blanks: true, names: true, hosts: true, bar: true, activity: true, minVMs: most, log: history + 1},
		{names: true, hosts: true, bar: true, activity: true, minVMs: min(most, 5), log: history},
		{names: true, hosts: true, bar: true, activity: true, minVMs: min(most, 3), log: min(history, 3)},
		{hosts: true, bar: true, activity: true, minVMs: min(most, 2), log: min(history, 2)},
		{bar: true, activity: true, minVMs: min(most, 1)},
		{activity: true, minVMs: 0},
	}
	for _, level := range levels {
		for vms := most; vms >= level.minVMs; vms-- {
			level.vms = vms
			if v.lines(groups, level)+level.log <= room {
				return v.groups(groups, level), level.blanks
			}
		}
	}
	// Not even two lines a group: one each, and the rest as a number.
	for i, g := range groups {
		if i == room-1 && len(groups) > room {
			lines = append(lines, v.style.line().add(toneDim, fmt.Sprintf("  … %d more groups", len(groups)-i)))
			break
		}
		lines = append(lines, v.head(g, true))
	}
	return lines, false
}

// lines is how many lines groups would give, without drawing them.
func (v *view) lines(groups []*group, d detail) int {
	n := 0
	for _, g := range groups {
		n++ // the head
		if d.blanks {
			n++
		}
		if d.bar {
			n++
		}
		if d.activity {
			n++
		}
		if d.hosts {
			n += len(g.hosts)
		}
		rows := g.rows()
		if d.names && rows > 0 && d.vms > 0 {
			n++
		}
		n += min(rows, d.vms)
		if rows > d.vms {
			n++
		}
	}
	return n
}

func (v *view) groups(groups []*group, d detail) []*line {
	var lines []*line
	for _, g := range groups {
		if d.blanks {
			lines = append(lines, v.style.line())
		}
		lines = append(lines, v.head(g, false))
		if d.bar {
			lines = append(lines, v.bar(g))
		}
		if d.activity {
			lines = append(lines, v.activityLine(g))
		}
		lines = append(lines, v.table(g, d)...)
		if d.hosts {
			for _, h := range g.sortedHosts() {
				lines = append(lines, v.host(h))
			}
		}
	}
	return lines
}

// title is the top line: what this is, the stages' health, and the time.
func (v *view) title() *line {
	l := v.style.line().add(toneText, " ").add(toneTitle, v.m.Title)
	clock := v.style.line().add(toneDim, v.now.Format(time.TimeOnly)).add(toneText, " ")
	type summary struct {
		name string
		n    int
		tone tone
	}
	var stages []summary
	for _, s := range v.m.sortedStages() {
		t := toneGood
		switch {
		case s.silent(v.now):
			t = toneBad
		case !s.health.OK:
			t = toneWarn
		}
		if n := len(stages); n > 0 && stages[n-1].name == s.health.Stage {
			stages[n-1].n++
			stages[n-1].tone = max(stages[n-1].tone, t)
			continue
		}
		stages = append(stages, summary{s.health.Stage, 1, t})
	}
	for _, s := range stages {
		text := s.name
		if s.n > 1 {
			text = fmt.Sprintf("%s (%d)", s.name, s.n)
		}
		mark := "●"
		if s.tone != toneGood && !v.style.Color {
			mark = "!"
		}
		if l.width+5+textWidth(v.style.clean(text))+clock.width > v.width {
			break
		}
		l.add(toneText, "   ").add(s.tone, mark).add(toneDim, " "+text)
	}
	return l.right(clock, v.width)
}

// notices are the lines about what is wrong with the whole: the bus, the stages, ourselves.
func (v *view) notices() []*line {
	type notice struct {
		tone       tone
		mark, text string
	}
	var all []notice
	add := func(t tone, mark, text string) { all = append(all, notice{t, mark, v.style.clean(text)}) }
	m := v.m
	lost := !m.Link.Connected && m.Link.URL != ""
	if lost {
		why := ""
		if m.Link.Why != "" {
			why = ": " + m.Link.Why
		}
		add(toneBadStrong, "!", "bus: no connection, trying again"+why)
	}
	silence := v.now.Sub(m.heard)
	if m.heard.IsZero() {
		silence = v.now.Sub(m.started)
	}
	connected := ""
	if m.Link.Connected {
		connected = "; connected to " + m.Link.URL
	}
	switch {
	case !m.sampled() && silence <= firstMessage && m.heard.IsZero():
		add(toneDim, " ", "starting")
	case !m.sampled():
		add(toneWarn, " ", "waiting for the first sample"+connected)
	case silence > firstMessage && !lost:
		add(toneWarn, "!", fmt.Sprintf("no message for %s%s", spell(silence), connected))
	}
	for _, s := range m.sortedStages() {
		name := s.health.Stage
		if s.health.Instance != "" {
			name += " " + s.health.Instance
		}
		switch {
		case s.silent(v.now):
			add(toneBad, "!", fmt.Sprintf("%s: silent for %s", name, spell(v.now.Sub(s.received))))
		case !s.health.OK:
			message := s.health.Message
			if message == "" {
				message = "not well"
			}
			add(toneWarn, "!", name+": "+message)
		case s.health.Message != "":
			add(toneDim, " ", name+": "+s.health.Message)
		}
	}
	if m.Dropped > 0 {
		add(toneDim, " ", fmt.Sprintf("%d messages dropped, as this terminal is slow", m.Dropped))
	}
	most := max(1, v.height/5)
	if len(all) > most {
		more := len(all) - most + 1
		all = all[:most-1]
		add(toneWarn, " ", fmt.Sprintf("… %d more problems", more))
	}
	spare := most - len(all)
	var lines []*line
	for _, n := range all {
		first, rest := n.text, ""
		if spare > 0 {
			if first, rest = breakLine(n.text, v.width-3); rest != "" {
				spare--
			}
		}
		lines = append(lines, v.style.line().add(n.tone, " "+n.mark+" "+first))
		if rest != "" {
			lines = append(lines, v.style.line().add(n.tone, "   "+rest))
		}
	}
	return lines
}

// breakLine parts a clean text that is too wide at the last blank of what fits; where there is none, it stays whole.
func breakLine(text string, width int) (first, rest string) {
	if textWidth(text) <= width {
		return text, ""
	}
	at := -1
	for i, r := range text {
		if textWidth(text[:i]) > width {
			break
		}
		if r == ' ' {
			at = i
		}
	}
	if at <= 0 {
		return text, ""
	}
	return text[:at], text[at+1:]
}

func (v *view) footer() *line {
	l := v.style.line().add(toneStrong, " q").add(toneDim, " quit")
	if v.m.Footer != "" {
		l.add(toneDim, "   "+v.m.Footer)
	}
	return l
}

// head is a group's first line; in short form it is its only one.
func (v *view) head(g *group, short bool) *line {
	l := v.style.line().add(toneText, " ").add(toneStrong, g.name)
	gap := "   "
	if v.width < 50 {
		gap = " "
	}
	// First, as the rest explains itself only to those who know this.
	for _, text := range g.controls() {
		l.add(toneText, gap).add(toneWarnStrong, text)
	}
	number := func(n string, name string, t tone) {
		l.add(toneText, gap).add(t, n).add(toneDim, " "+name)
	}
	ready, launching, other := g.counts()
	if d := g.decision; d != nil {
		want := "–"
		if d.Known {
			want = fmt.Sprint(d.Desired)
		}
		if len(g.hosts) == 0 {
			ready, launching, other = d.Inputs.Ready, d.Inputs.Launching, 0
		}
		if v.width < 50 {
			l.add(toneText, gap).add(toneGoodStrong, fmt.Sprint(ready)).add(toneStrong, "/"+want).add(toneDim, " ready")
		} else {
			number(want, "desired", toneStrong)
		}
	}
	if g.decision == nil || v.width >= 50 {
		number(fmt.Sprint(ready), "ready", toneGoodStrong)
	}
	t := toneText
	if launching > 0 {
		t = toneWarnStrong
	}
	if short {
		if launching > 0 {
			number(fmt.Sprint(launching), "launching", t)
		}
		l.add(toneText, gap)
		average := g.average(v.now)
		v.percent(l, average, g.upper())
		a := g.activity(v.now)
		return l.add(toneText, gap).add(a.tone, a.label)
	}
	number(fmt.Sprint(launching), "launching", t)
	if other > 0 {
		number(fmt.Sprint(other), "other", toneWarn)
	}
	if d := g.decision; d != nil {
		limits := v.style.line().add(toneDim, fmt.Sprintf("min %d   max %d ", d.Inputs.Min, d.Inputs.Max))
		l.right(limits, v.width)
	}
	return l
}

// controls are what a person has told the group, in capitals.
func (g *group) controls() []string {
	if g.decision == nil {
		return nil
	}
	var texts []string
	c := g.decision.Controls
	switch n := len(c.Paused); {
	case n == 0:
	case n == len(bus.Scopes()):
		texts = append(texts, "PAUSED")
	default:
		texts = append(texts, "PAUSED "+scopes(c, ","))
	}
	if c.DryRun {
		texts = append(texts, "DRY RUN")
	}
	return texts
}

// bar is a group's average CPU, with marks at the thresholds.
func (v *view) bar(g *group) *line {
	average := g.average(v.now)
	upper := g.upper()
	l := v.style.line().add(toneDim, "  CPU  ")
	v.percent(l, average, upper)
	l.add(toneText, "  ")
	var scale string
	at := g.thresholds()
	switch len(at) {
	case 1:
		scale = fmt.Sprintf("  target %.4g %% ", at[0])
	case 2:
		scale = fmt.Sprintf("  in < %.4g %%   out > %.4g %% ", at[0], at[1])
	}
	cells := v.width - l.width - textWidth(v.style.clean(scale))
	if cells < 10 {
		scale = ""
		cells = v.width - l.width - 1
	}
	cells = min(cells, 100)
	if cells < 4 {
		return l
	}
	marks := map[int]bool{}
	for _, percent := range at {
		if percent > 0 && percent < 100 {
			marks[min(int(percent/100*float64(cells)), cells-1)] = true
		}
	}
	filled := 0.0
	if average != nil {
		filled = clamp(*average) / 100 * float64(cells)
	}
	t := cpuTone(average, upper)
	for i := range cells {
		part := filled - float64(i)
		switch {
		case marks[i]:
			l.add(toneStrong, "│")
		case part >= 1:
			l.add(t, "█")
		case part > 0 && v.style.Unicode && int(part*8) > 0:
			l.add(t, string([]rune("▏▎▍▌▋▊▉")[int(part*8)-1]))
		case v.style.Unicode:
			l.add(toneDim, "·")
		default:
			l.add(toneDim, " ")
		}
	}
	return l.add(toneDim, scale)
}

func (v *view) activityLine(g *group) *line {
	a := g.activity(v.now)
	l := v.style.line().add(a.tone, "  "+a.mark+" "+a.label)
	if a.text != "" {
		l.add(toneText, ": "+a.text)
	}
	return l
}

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

func (v *view) host(h *host) *line {
	l := v.style.line().add(toneDim, "  host ").add(toneText, h.sample.Host)
	if h.stale(v.now) {
		return l.add(toneWarn, "   no sample for "+spell(v.now.Sub(h.received)))
	}
	load := h.sample.HostLoad
	cpu := "–"
	if load.CPUPercent != nil {
		cpu = fmt.Sprintf("%.0f %%", clamp(*load.CPUPercent))
	}
	l.add(toneDim, "   CPU ").add(toneText, cpu)
	if load.Cores > 0 {
		l.add(toneDim, fmt.Sprintf(" of %d cores", load.Cores))
	}
	l.add(toneDim, "   memory ").add(toneText, size(load.MemoryFreeMiB)).add(toneDim, " free")
	if v.width >= 100 && load.MemoryMiB > 0 {
		l.add(toneDim, " of "+size(&load.MemoryMiB))
	}
	return l.add(toneDim, "   pool ").add(toneText, size(load.PoolFreeMiB)).add(toneDim, " free")
}

// history fills the lines that are left with what happened, the newest at the top.
func (v *view) history(room int, groups []*group, blank bool) []*line {
	if room < 2 || len(v.m.entries) == 0 {
		return nil
	}
	column := 0 // the group's name, where there is more than one
	if len(groups) > 1 {
		for _, g := range groups {
			column = max(column, textWidth(v.style.clean(g.name)))
		}
	}
	var lines []*line
	if blank && room > 3 {
		lines = append(lines, v.style.line())
	}
	head := v.style.line().add(toneDim, " ── recent ")
	head.add(toneDim, strings.Repeat("─", max(0, v.width-head.width-1)))
	lines = append(lines, head)
	for i := len(v.m.entries) - 1; i >= 0 && len(lines) < room; i-- {
		lines = append(lines, v.entry(v.m.entries[i], min(column, 20)))
	}
	return lines
}

func (v *view) entry(e entry, column int) *line {
	l := v.style.line().add(toneDim, " "+e.at.In(v.now.Location()).Format(time.TimeOnly)+"  ")
	if column > 0 {
		l.cell(toneText, e.group, column).add(toneText, "  ")
	}
	if e.decision {
		mark, t := "▲", toneWarnStrong
		if e.to < e.from {
			mark, t = "▼", toneInfo
		}
		l.add(t, fmt.Sprintf("%s %d → %d", mark, e.from, e.to))
		return l.add(toneText, "  "+e.text)
	}
	t := toneText
	switch e.event {
	case bus.EventReady, bus.EventAdopted:
		t = toneGood
	case bus.EventFailed, bus.EventDied:
		t = toneBad
	case bus.EventTakenName, bus.EventBraked, bus.EventControl:
		t = toneWarn
	case bus.EventCreating, bus.EventStarted, bus.EventDraining, bus.EventStopping, bus.EventRemoved, bus.EventDryRun:
		t = toneInfo
	}
	l.cell(t, string(e.event), max(8, textWidth(string(e.event)))).add(toneText, "  ")
	if e.vm != "" {
		l.add(toneStrong, e.vm+"  ")
	}
	if e.err != "" {
		l.add(toneBad, e.err+"  ")
	}
	l.add(toneText, e.text)
	if e.elapsed >= 100*time.Millisecond {
		l.add(toneDim, "  "+elapsed(e.elapsed))
	}
	return l
}

// percent appends a figure of five cells, such as " 93 %".
func (v *view) percent(l *line, cpu *float64, upper float64) {
	text := "–"
	if cpu != nil {
		text = fmt.Sprintf("%.0f %%", clamp(*cpu))
	}
	l.cellRight(cpuTone(cpu, upper), text, 5)
}

// cpuTone is red above the upper threshold, where that is known, yellow above calmBelow, green below.
func cpuTone(cpu *float64, upper float64) tone {
	switch {
	case cpu == nil:
		return toneDim
	case upper > 0 && *cpu > upper:
		return toneBad
	case *cpu > calmBelow:
		return toneWarn
	default:
		return toneGood
	}
}

func spark(value *float64) string {
	if value == nil {
		return " "
	}
	levels := []rune("▁▂▃▄▅▆▇█")
	return string(levels[min(int(clamp(*value)/100*float64(len(levels))), len(levels)-1)])
}

// activity is what a group is doing now.
type activity struct {
	mark, label, text string
	tone              tone
}

func (g *group) activity(now time.Time) activity {
	d := g.decision
	if d == nil {
		return activity{"·", "no decision yet", "", toneDim}
	}
	valid := max(staleAfter, d.ExpiresAt.Sub(d.Time))
	if silence := now.Sub(g.decided); silence > valid {
		return activity{"!", "no decision for " + spell(silence) + ", the last", d.Sentence, toneWarn}
	}
	in := d.Inputs
	var a activity
	switch {
	case d.Rule == bus.RuleBlind:
		a.mark, a.label, a.tone = "!", "blind", toneBadStrong
	case d.Guard == bus.GuardPaused:
		return activity{"!", "paused", strings.TrimPrefix(d.Sentence, "paused, "), toneWarnStrong}
	case !d.Known, d.Rule == bus.RuleNoneReady:
		a.mark, a.label, a.tone = "·", "waiting", toneWarn
	case d.Direction == bus.Out:
		a.mark, a.label, a.tone = "▲", "scaling out", toneWarnStrong
	case d.Direction == bus.In:
		a.mark, a.label, a.tone = "▼", "scaling in", toneInfo
	case d.Guard == bus.GuardAtMax:
		a.mark, a.label, a.tone = "!", "at max", toneBadStrong
	case d.Guard == bus.GuardCooldown:
		left := time.Duration(in.CooldownMS)*time.Millisecond - now.Sub(g.decided)
		seconds := max(1, int(math.Ceil(left.Seconds())))
		a.mark, a.label, a.tone = "·", fmt.Sprintf("cooling down %d s", seconds), toneInfo
	case d.Rule == bus.RuleNoData, d.Guard == bus.GuardUnknownCPU, d.Guard == bus.GuardHost:
		a.mark, a.label, a.tone = "·", "holding", toneWarn
	case d.Guard == bus.GuardComing:
		a.mark, a.label, a.tone = "▲", "busy", toneWarnStrong
	case d.Desired > in.Ready && in.Launching > 0:
		return activity{"▲", "launching " + vms(in.Launching), averageText(in), toneWarnStrong}
	case d.Desired > in.Ready && in.Warming > 0:
		return activity{"▲", "warming up " + vms(in.Warming), averageText(in), toneWarnStrong}
	case in.Owned > d.Desired:
		return activity{"▼", "removing " + vms(in.Owned-d.Desired), averageText(in), toneInfo}
	case d.Guard == bus.GuardBreaches && d.Rule == bus.RuleAboveUpper:
		a.mark, a.label, a.tone = "▲", "busy", toneWarn
	case d.Guard == bus.GuardBreaches:
		a.mark, a.label, a.tone = "▼", "idle", toneInfo
	case d.Guard == bus.GuardAtMin:
		a.mark, a.label, a.tone = "●", "idle", toneGood
	default:
		a.mark, a.label, a.tone = "●", "stable", toneGood
	}
	if d.Known {
		a.say(d.Sentence)
	} else { // what waits need not hold as well
		a.say(strings.TrimPrefix(d.Sentence, "holding: "))
	}
	return a
}

// averageText stands beside a change under way; what the decider says then is about the next one.
func averageText(in bus.Inputs) string {
	if in.AveragePercent == nil {
		return "average unknown"
	}
	return fmt.Sprintf("average %.0f %%", *in.AveragePercent)
}

func vms(n int) string { return bus.Count(n, "VM") }

// say adds the decider's sentence, which often has a lead of its own ("scaling out: average ...").
func (a *activity) say(sentence string) {
	lead, rest, found := strings.Cut(sentence, ": ")
	own, _, _ := strings.Cut(a.label, " ")
	first, _, _ := strings.Cut(lead, " ")
	switch {
	case !found && first == own:
		a.label = sentence
	case found && first == own:
		if first != "cooling" { // our own seconds go on counting between decisions
			a.label = lead
		}
		a.text = rest
	case found && first == "stable": // there is still a change under way
		a.text = rest
	default:
		a.text = sentence
	}
}

// average is the mean CPU of the ready VMs: the decider's where there is a decision, and our own otherwise. Nil is
// unknown.
func (g *group) average(now time.Time) *float64 {
	if d := g.decision; d != nil {
		if now.Sub(g.decided) > max(staleAfter, d.ExpiresAt.Sub(d.Time)) {
			return nil
		}
		return d.Inputs.AveragePercent
	}
	var sum float64
	n := 0
	for _, h := range g.hosts {
		if h.stale(now) {
			continue
		}
		for _, vm := range h.sample.VMs {
			if vm.Phase == bus.PhaseReady && vm.CPUPercent != nil {
				sum += *vm.CPUPercent
				n++
			}
		}
	}
	if n == 0 {
		return nil
	}
	mean := sum / float64(n)
	return &mean
}

// thresholds are what the policies in force compare the average CPU with: lower and upper, or a target, or nothing.
func (g *group) thresholds() []float64 {
	d := g.decision
	switch {
	case d == nil:
		return nil
	case d.Inputs.TargetPercent > 0:
		return []float64{d.Inputs.TargetPercent}
	case d.Inputs.UpperPercent <= 0:
		return nil
	}
	for _, w := range d.Wishes { // a group without any has thresholds alone
		if w.Policy == bus.PolicyThreshold || w.Policy == bus.PolicyStep {
			return []float64{d.Inputs.LowerPercent, d.Inputs.UpperPercent}
		}
	}
	if len(d.Wishes) > 0 {
		return nil
	}
	return []float64{d.Inputs.LowerPercent, d.Inputs.UpperPercent}
}

// upper is from where on the CPU is shown as busy; 0 where it is not known.
func (g *group) upper() float64 {
	at := g.thresholds()
	switch {
	case len(at) > 0:
		return at[len(at)-1]
	case g.decision == nil:
		return 0
	}
	return g.decision.Inputs.UpperPercent
}

// counts are of the VMs in the last samples; other is on the way out or failed.
func (g *group) counts() (ready, launching, other int) {
	for _, h := range g.hosts {
		for _, vm := range h.sample.VMs {
			switch {
			case vm.Phase == bus.PhaseReady && vm.State == bus.StateRunning:
				ready++
			case vm.Phase == bus.PhaseCreating, vm.Phase == bus.PhaseLaunching:
				launching++
			default:
				other++
			}
		}
	}
	return ready, launching, other
}

func (g *group) rows() int {
	n := 0
	for _, h := range g.hosts {
		n += len(h.sample.VMs)
	}
	return n
}

func (m *Model) sampled() bool {
	for _, g := range m.groups {
		if len(g.hosts) > 0 {
			return true
		}
	}
	return false
}

func clamp(percent float64) float64 {
	if math.IsNaN(percent) {
		return 0
	}
	return min(max(percent, 0), 100)
}

// age is a time span in at most six cells: 12s, 2m05s, 1h02m, 3d04h.
func age(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	case s < 100*86400:
		return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
	default:
		return fmt.Sprintf("%dd", s/86400)
	}
}

// spell is a time span in a sentence: 7 s, 2m05s.
func spell(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(max(d, 0).Seconds()))
	}
	return age(d)
}

// elapsed is how long a step took.
func elapsed(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return spell(d)
}

func memory(used *int, total, width int) string {
	if used != nil {
		if text := fmt.Sprintf("%d/%d MiB", *used, total); len(text) <= width {
			return text
		}
		return size(used) + "/" + size(&total)
	}
	if total >= 10240 {
		return size(&total)
	}
	return fmt.Sprintf("%d MiB", total)
}

// size is an amount that is given in MiB.
func size(mib *int) string {
	switch {
	case mib == nil:
		return "–"
	case *mib < 1024:
		return fmt.Sprintf("%d MiB", *mib)
	case *mib < 100*1024:
		return fmt.Sprintf("%.1f GiB", float64(*mib)/1024)
	case *mib < 10*1024*1024:
		return fmt.Sprintf("%d GiB", *mib/1024)
	default:
		return fmt.Sprintf("%.1f TiB", float64(*mib)/1024/1024)
	}
}
