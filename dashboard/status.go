package dashboard

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// StatusLines is a status as lines for a terminal or a pipe; wide has more columns. Times are shown in loc.
func StatusLines(s bus.Status, loc *time.Location, wide bool) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, g := range s.Groups {
		add("group %s", g.Group)
		if d := g.Decision; d == nil {
			add("  not evaluated yet")
		} else {
			lines = append(lines, decisionLines(*d, s.Time)...)
			if controls := ControlsText(d.Controls, loc); controls != "" {
				add("  %s", controls)
			}
		}
		for _, sample := range g.Samples {
			if age := s.Time.Sub(sample.Time); age > model.StaleAfter {
				add("  host %s: its last sample is %s old", sample.Host, spell(age))
			}
		}
		machine := ""
		if g.Decision != nil {
			machine = g.Decision.Machine
		}
		lines = append(lines, vmLines(g.Samples, machine, wide, s.Time)...)
		add("")
	}
	if s.ClusterID != "" {
		add("cluster %s", s.ClusterID)
		add("")
	}
	add("stages")
	if len(s.Stages) == 0 {
		add("  no sign of life of any")
	}
	rows := make([][]string, 0, len(s.Stages))
	for _, h := range s.Stages {
		text := "ok"
		if !h.OK {
			text = "not ok"
		}
		if h.Message != "" {
			text += ": " + h.Message
		}
		rows = append(rows, []string{h.Stage, h.Instance, text})
	}
	for _, role := range []bus.Role{bus.RoleActuator, bus.RoleCollector, bus.RoleDecider} { // without which nothing is scaled
		if len(s.Stages) > 0 && !slices.ContainsFunc(s.Stages, func(h bus.Health) bool { return h.Stage == string(role) }) {
			rows = append(rows, []string{string(role), "-", "no sign of life"})
		}
	}
	lines = append(lines, align(rows)...)
	for i := range lines {
		lines[i] = Style{Unicode: true}.clean(lines[i])
	}
	return lines
}

// decisionLines is what a group should have and what it does now.
func decisionLines(d bus.Decision, now time.Time) []string {
	desired, average := "unknown", "unknown"
	if d.HasSample {
		desired = fmt.Sprint(d.Desired)
	}
	in := d.Inputs
	if in.AveragePercent != nil {
		average = fmt.Sprintf("%.0f %%", clamp(*in.AveragePercent))
	}
	from := ""
	if in.Scheduled {
		from = " (by its schedule)"
	}
	warm := ""
	if in.Warm+in.WarmWanted > 0 {
		warm = fmt.Sprintf("   warm %d of %d", in.Warm, in.WarmWanted)
	}
	lines := []string{fmt.Sprintf("  desired %s   ready %d   pending %d%s   min %d   max %d%s   average CPU %s",
		desired, in.Ready+in.Warming, in.Launching, warm, in.Min, in.Max, from, average)}
	sentence := d.Sentence
	if sentence == "" {
		sentence = orNone(d.Rule)
	}
	if now.After(d.ExpiresAt) {
		sentence = fmt.Sprintf("no decision for %s, the last: %s", spell(now.Sub(d.Time)), sentence)
	}
	if d.Rule != bus.RuleManual || sentence != d.Sentence || d.Guard != "" { // else what is set by hand says it, and who did
		lines = append(lines, "  "+sentence)
	}
	for _, h := range bus.HostsByName(d.Hosts) {
		lines = append(lines, fmt.Sprintf("  host %s is %s for %s: %s", h.Host, h.State, spell(now.Sub(h.Since)), h.Reason))
	}
	if d.Risk != "" {
		lines = append(lines, "  "+d.Risk)
	}
	if b := d.Balance; b != nil && b.State != bus.BalanceEven {
		lines = append(lines, fmt.Sprintf("  rebalance %s: %s", b.State, b.Sentence))
	}
	if r := d.Refresh; r.Active() || r.Unresolved(d.Machine) {
		lines = append(lines, fmt.Sprintf("  refresh %s: %s", r.Phase, r.Sentence))
	}
	return lines
}

// vmLines is the table of a group's VMs on all hosts.
func vmLines(samples []bus.Sample, machine string, wide bool, now time.Time) []string {
	type row struct {
		host string
		vm   bus.VM
	}
	var all []row
	for _, s := range samples {
		for _, vm := range s.VMs {
			all = append(all, row{s.Host, vm})
		}
	}
	if len(all) == 0 {
		return []string{"  no VMs"}
	}
	slices.SortStableFunc(all, func(a, b row) int { return model.CompareNames(a.vm.Name, b.vm.Name) })
	head := []string{"VM", "STATE", "PHASE", "CPU", ""}
	if wide {
		head = []string{"VM", "STATE", "PHASE", "CPU", "VCPUS", "MEMORY", "AGE", "TEMPLATE", "UUID", ""}
	}
	if len(samples) > 1 {
		head = slices.Insert(head, 1, "HOST")
	}
	rows := [][]string{head}
	for _, r := range all {
		cpu := "-"
		if r.vm.CPUPercent != nil {
			cpu = fmt.Sprintf("%.0f %%", clamp(*r.vm.CPUPercent))
		}
		var notes []string
		if text := model.Age(r.vm, machine); text != "" {
			notes = append(notes, text)
		}
		if r.vm.Protected {
			notes = append(notes, "protected")
		}
		if o := r.vm.Order; o != nil && model.Ordered(r.vm) != "" {
			notes = append(notes, o.Sentence())
		}
		if r.vm.Error != "" {
			notes = append(notes, r.vm.Error)
		}
		cells := []string{r.vm.Name, string(r.vm.State), string(r.vm.Phase), cpu}
		if wide {
			cells = append(cells, fmt.Sprint(r.vm.VCPUs), fmt.Sprintf("%d MiB", r.vm.MemoryMiB), spell(now.Sub(r.vm.Created)),
				cmp.Or(r.vm.Template, "-"), r.vm.UUID)
		}
		cells = append(cells, strings.Join(notes, "; "))
		if len(samples) > 1 {
			cells = slices.Insert(cells, 1, r.host)
		}
		rows = append(rows, cells)
	}
	return align(rows)
}

// align aligns the cells of rows.
func align(rows [][]string) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		for i := range cells {
			cells[i] = Style{Unicode: true}.clean(cells[i]) // a tab or a line's end in it would make another table
		}
		_, _ = fmt.Fprintf(w, "  %s\n", strings.Join(cells, "\t")) // a Builder takes everything
	}
	_ = w.Flush()
	var lines []string
	for line := range strings.Lines(b.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return lines
}

// RefreshText reports where a refresh stands. Times are shown in loc.
func RefreshText(r bus.Refresh, loc *time.Location) string {
	text := "refresh " + string(r.Phase)
	if r.Sentence != "" {
		text += ": " + r.Sentence
	}
	return fmt.Sprintf("%s (begun %s, %s)", text, bus.Attribution(r.By, r.Reason), r.Started.In(loc).Format(time.DateTime))
}

// ControlsText reports what of a group is paused, scaled, set, whether it is a dry run, and who said so: of each, where that was
// not all one request, and else at the end; "" where nothing holds, whoever has taken back what did.
func ControlsText(c bus.Controls, loc *time.Location) string {
	var parts []string
	last, apart := c.SaidOf(""), false
	for kind := range c.Said {
		apart = apart || !c.Said[kind].Same(last)
	}
	add := func(kind bus.Control, text string) {
		if apart {
			text += saidText(c.SaidOf(kind), loc)
		}
		parts = append(parts, text)
	}
	if len(c.Paused) > 0 {
		add(bus.ControlPaused, "paused: "+scopes(c, ", "))
	}
	if c.Desired != nil {
		add(bus.ControlDesired, fmt.Sprintf("scaled to %d by hand", *c.Desired))
	}
	var set []string
	for _, key := range slices.Sorted(maps.Keys(c.Set)) {
		set = append(set, "set "+key+"="+c.Set[key])
	}
	if len(set) > 0 {
		add(bus.ControlSet, strings.Join(set, "; "))
	}
	for _, name := range c.AddedNames() {
		parts = append(parts, "on schedule "+name+": "+c.Schedule[name].Action.String())
	}
	if c.DryRun {
		add(bus.ControlDryRun, "dry run")
	}
	text := strings.Join(parts, "; ")
	if apart || text == "" {
		return text
	}
	return text + saidText(last, loc)
}

// saidText is who said something, why and since when, as far as that is known.
func saidText(s bus.Saying, loc *time.Location) (text string) {
	if s.By != "" || s.Reason != "" {
		text = ", " + bus.Attribution(s.By, s.Reason)
	}
	if !s.Since.IsZero() {
		text += ", since " + s.Since.In(loc).Format(time.DateTime)
	}
	return text
}

// scopes are those that are paused, in words.
func scopes(c bus.Controls, between string) string {
	words := make([]string, len(c.Paused))
	for i, s := range c.Paused {
		words[i] = string(s)
	}
	return strings.Join(words, between)
}
