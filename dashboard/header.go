package dashboard

import (
	"fmt"
	"time"
)

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

func (v *view) footer() *line {
	l := v.style.line().add(toneStrong, " q").add(toneDim, " quit")
	if v.m.Footer != "" {
		l.add(toneDim, "   "+v.m.Footer)
	}
	return l
}
