package dashboard

import (
	"fmt"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/dashboard/model"
)

// text is the page that is open, whole, in lines that fit the width.
func (v *view) text() []*line {
	switch v.c.session.page {
	case pageVM:
		return v.vmPage()
	case pageDecision:
		return v.decisionPage()
	case pageHelp:
		return v.helpPage()
	case pageGroups, pageEvents:
	}
	return nil
}

// paragraph adds a text in as many lines as it needs, those after the first a little to the right.
func (v *view) paragraph(lines []*line, t tone, text string) []*line {
	indent := " "
	for rest := v.style.clean(text); ; indent = "   " {
		first := rest
		first, rest = breakLine(first, v.width-len(indent)-1)
		lines = append(lines, v.line().add(t, indent+first))
		if rest == "" {
			return lines
		}
	}
}

// heading is a line across the screen with a title in it.
func (v *view) heading(title string) *line {
	l := v.line().add(toneDim, " ── ").add(toneStrong, title).add(toneDim, " ")
	return l.add(toneDim, strings.Repeat("─", max(0, v.width-l.width-1)))
}

func (v *view) decisionPage() []*line {
	d := v.c.session.decision
	if d == nil {
		return nil
	}
	lines := []*line{v.heading("decision of " + d.Group), v.line()}
	words := []string{d.Sentence}
	if v.c.Explain != nil {
		words = v.c.Explain(*d)
	}
	for _, text := range words {
		lines = v.paragraph(lines, toneText, text)
	}
	return lines
}

// vmPage is all that is known of a VM.
func (v *view) vmPage() []*line {
	s := v.c.session
	at, there := s.at.find(v.c)
	lines := []*line{v.heading("VM " + s.at.vm), v.line()}
	if !there {
		return append(lines, v.line().add(toneWarn, " it is gone"))
	}
	d, _ := at.g.Decision()
	clock := at.h.Clock(v.now)
	fact := func(name string, t tone, text string) {
		if text != "" {
			lines = append(lines, v.line().add(toneDim, " "+name).to(13).add(t, text))
		}
	}
	text, t := phase(at.vm, d.Machine, clock, v.width)
	fact("group", toneText, at.group)
	fact("host", toneText, at.h.Sample().Host)
	fact("phase", t, text)
	fact("since", toneText, stamp(at.vm.PhaseSince, clock, v.now.Location()))
	fact("domain", toneText, string(at.vm.State))
	fact("created", toneText, stamp(at.vm.Created, clock, v.now.Location()))
	fact("template", toneText, at.vm.Template)
	fact("machine", toneText, model.Age(at.vm, d.Machine))
	fact("UUID", toneText, at.vm.UUID)
	fact("size", toneText, fmt.Sprintf("%d vCPU, memory %s", at.vm.VCPUs, memory(at.vm.MemoryUsedMiB, at.vm.MemoryMiB, v.width)))
	if at.vm.RunDelayPercent != nil {
		fact("waits", toneText, fmt.Sprintf("%.0f %% of the time for a core of the host", *at.vm.RunDelayPercent))
	}
	if at.vm.Protected {
		fact("protected", toneWarn, "it is not scaled in")
	}
	if o := at.vm.Order; o != nil {
		fact("order", toneWarn, o.Sentence())
	}
	fact("error", toneBad, at.vm.Error)
	if at.h.Stale(v.now) {
		fact("CPU", toneWarn, "no sample for "+spell(at.h.Silence(v.now)))
	} else {
		cpu := v.line().add(toneDim, " CPU").to(12).percent(at.vm.CPUPercent, at.g.Upper()).add(toneText, "  ")
		for _, value := range at.h.CPU(at.vm.Name, min(60, max(1, v.width-cpu.width-1)), v.now) {
			cpu.add(cpuTone(value, at.g.Upper()), spark(value))
		}
		lines = append(lines, cpu)
	}
	lines = append(lines, v.line(), v.heading("its events"))
	for _, e := range (session{}).entries(v.c) {
		if e.Group == at.group && e.VM == at.vm.Name {
			lines = append(lines, v.entry(e, 0))
		}
	}
	return lines
}

// stamp is a time, and how long ago that is; "" is not known.
func stamp(at, clock time.Time, loc *time.Location) string {
	if at.IsZero() {
		return ""
	}
	return at.In(loc).Format(time.DateTime) + ", " + spell(clock.Sub(at)) + " ago"
}

func (v *view) helpPage() []*line {
	lines := []*line{v.heading("keys"), v.line()}
	for _, k := range [][2]string{
		{"Up Down j k", "move; PgUp PgDn by pages, Home End g G to the ends"},
		{"Enter", "open: a VM, or of a group its decision, explained"},
		{"x", "explain the group's decision"},
		{"e", "events, full screen; Enter opens what one is about"},
		{"/", "filter groups, VMs, hosts, phases, events; Esc clears it"},
		{"o", "sort: by name, CPU, age, trouble"},
		{"Left Right", "fold the group, unfold it; Space either, * all groups"},
		{"p", "pause the group, or resume it"},
		{"s", "scale the group to a number of VMs, or release it"},
		{"t", "protect the VM from being scaled in, or take that back"},
		{"Esc", "back, and from the list to the overview"},
		{"q", "quit; the VMs and what runs stay"},
	} {
		text := k[1]
		for first := true; text != "" || first; first = false {
			l := v.line()
			if first {
				l.add(toneStrong, " "+k[0])
			}
			var part string
			part, text = breakLine(v.style.clean(text), max(8, v.width-14))
			lines = append(lines, l.to(13).add(toneText, part))
		}
	}
	lines = append(lines, v.line())
	if v.c.ReadOnly != "" {
		return v.paragraph(lines, toneWarn, "Read-only: "+v.c.ReadOnly+".")
	}
	return v.paragraph(lines, toneDim, "Before p, s and t change anything, they ask.")
}

// settle keeps a page of text from being scrolled beyond its end.
func (s session) settle(c *Content, width, height int, now time.Time, style Style) session {
	if s.scroll == 0 {
		return s
	}
	v := view{page{width, height, now, style}, c, nil}
	room := height - 1 - len(v.notices()) - len(v.bottom())
	s.scroll = min(s.scroll, max(0, len(v.text())-room))
	return s
}
