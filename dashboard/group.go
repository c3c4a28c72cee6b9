package dashboard

import (
	"fmt"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// groupPart is what the rendering shows of one group above its VMs.
type groupPart struct {
	page
	g       *model.Group
	average *float64
	upper   float64
}

func (p page) group(g *model.Group) groupPart { return groupPart{p, g, g.Average(p.now), g.Upper()} }

// head is a group's first line; in short form it is its only one.
func (p groupPart) head(short bool) *line {
	g := p.g
	l := p.line().add(toneText, " ").add(toneStrong, g.Name())
	narrow, gap := p.width < 50, "   "
	if narrow {
		gap = " "
	}
	d, decided := g.Decision()
	// First, as the rest explains itself only to those who know this.
	for _, text := range marks(d) {
		l.add(toneText, gap).add(toneWarnStrong, text)
	}
	number := func(n string, name string, t tone) {
		l.add(toneText, gap).add(t, n).add(toneDim, " "+name)
	}
	n := g.Counts()
	if decided {
		want := "–"
		if d.HasSample {
			want = fmt.Sprint(d.Desired)
		}
		if len(g.Hosts()) == 0 {
			n = model.Counts{Ready: d.Inputs.Ready, Launching: d.Inputs.Launching, Warm: d.Inputs.Warm}
		}
		if narrow {
			l.add(toneText, gap).add(toneGoodStrong, fmt.Sprint(n.Ready)).add(toneStrong, "/"+want).add(toneDim, " ready")
		} else {
			number(want, "desired", toneStrong)
		}
	}
	if !decided || !narrow {
		number(fmt.Sprint(n.Ready), "ready", toneGoodStrong)
	}
	t := toneText
	if n.Launching > 0 {
		t = toneWarnStrong
	}
	if short {
		if n.Launching > 0 {
			number(fmt.Sprint(n.Launching), "pending", t)
		}
		l.add(toneText, gap).percent(p.average, p.upper)
		a := activityOf(g, p.now)
		return l.add(toneText, gap).add(a.tone, a.label)
	}
	number(fmt.Sprint(n.Launching), "pending", t)
	if n.Warm > 0 {
		number(fmt.Sprint(n.Warm), "warm", toneDim)
	}
	if n.Other > 0 {
		number(fmt.Sprint(n.Other), "other", toneWarn)
	}
	if decided {
		l.right(p.line().add(toneDim, fmt.Sprintf("min %d   max %d ", d.Inputs.Min, d.Inputs.Max)), p.width)
	}
	return l
}

// marks are a group's controls, and a refresh that goes on, in capitals.
func marks(d bus.Decision) (texts []string) {
	c := d.Controls
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
	if c.Desired != nil {
		texts = append(texts, fmt.Sprintf("SCALED %d", *c.Desired))
	}
	if n := len(c.Set); n > 0 {
		texts = append(texts, fmt.Sprintf("SET %d", n))
	}
	states := map[bus.HostState]int{}
	for _, h := range d.Hosts {
		states[h.State]++
	}
	for _, state := range bus.HostStates() {
		if n := states[state]; n > 0 {
			texts = append(texts, fmt.Sprintf("%s %s", strings.ToUpper(string(state)), bus.Count(n, "host")))
		}
	}
	if r := d.Refresh; r.Unresolved(d.Machine) {
		texts = append(texts, "REFRESH FAILED")
	} else if r.Active() {
		texts = append(texts, fmt.Sprintf("REFRESH %s %d/%d", r.Phase, r.Updated, r.Updated+r.Outdated))
	}
	return texts
}

// bar is a group's average CPU, with marks at the thresholds.
func (p groupPart) bar() *line {
	l := p.line().add(toneDim, "  CPU  ").percent(p.average, p.upper).add(toneText, "  ")
	var scale string
	at := p.g.Thresholds()
	switch len(at) {
	case 1:
		scale = fmt.Sprintf("  target %.4g %% ", at[0])
	case 2:
		scale = fmt.Sprintf("  in < %.4g %%   out > %.4g %% ", at[0], at[1])
	}
	cells := p.width - l.width - textWidth(p.style.clean(scale))
	if cells < 10 {
		scale = ""
		cells = p.width - l.width - 1
	}
	cells = min(cells, 100)
	if cells < 4 {
		return l
	}
	markers := map[int]bool{}
	for _, percent := range at {
		if percent > 0 && percent < 100 {
			markers[min(int(percent/100*float64(cells)), cells-1)] = true
		}
	}
	filled := 0.0
	if p.average != nil {
		filled = clamp(*p.average) / 100 * float64(cells)
	}
	t := cpuTone(p.average, p.upper)
	for i := range cells {
		part := filled - float64(i)
		switch {
		case markers[i]:
			l.add(toneStrong, "│")
		case part >= 1:
			l.add(t, "█")
		case part > 0 && p.style.Unicode && int(part*8) > 0:
			l.add(t, string([]rune("▏▎▍▌▋▊▉")[int(part*8)-1]))
		case p.style.Unicode:
			l.add(toneDim, "·")
		default:
			l.add(toneDim, " ")
		}
	}
	return l.add(toneDim, scale)
}

// activity is what the group is doing, and why.
func (p groupPart) activity() *line {
	a := activityOf(p.g, p.now)
	l := p.line().add(a.tone, "  "+a.mark+" "+a.label).add(toneText, a.rest)
	d, _ := p.g.Decision()
	if text := shadows(d); text != "" {
		l.right(p.line().add(toneDim, text+" "), p.width)
	}
	return l
}

// shadows are what policies that change nothing would want, "" where there is none.
func shadows(d bus.Decision) string {
	var wants []string
	for _, w := range d.Shadow {
		wants = append(wants, fmt.Sprintf("%s %d", w.Policy, w.Desired))
	}
	if len(wants) == 0 {
		return ""
	}
	return "shadow " + strings.Join(wants, ", ")
}

// host is the line of a group's host: its own load.
func (p page) host(h *model.Host) *line {
	sample := h.Sample()
	l := p.line().add(toneDim, "  host ").add(toneText, sample.Host)
	if h.Stale(p.now) {
		return l.add(toneWarn, "   no sample for "+spell(h.Silence(p.now)))
	}
	load := sample.HostLoad
	cpu := "–"
	if load.CPUPercent != nil {
		cpu = fmt.Sprintf("%.0f %%", clamp(*load.CPUPercent))
	}
	l.add(toneDim, "   CPU ").add(toneText, cpu)
	if load.Cores > 0 {
		l.add(toneDim, fmt.Sprintf(" of %d cores", load.Cores))
	}
	l.add(toneDim, "   memory ").add(toneText, size(load.MemoryFreeMiB)).add(toneDim, " free")
	if p.width >= 100 && load.MemoryMiB > 0 {
		l.add(toneDim, " of "+size(&load.MemoryMiB))
	}
	return l.add(toneDim, "   pool ").add(toneText, size(load.PoolFreeMiB)).add(toneDim, " free")
}
