package dashboard

import (
	"fmt"
	"time"
)

// title is the top line: what this is, the stages' health, and the time.
func (v *view) title() *line {
	l := v.line().add(toneText, " ").add(toneTitle, v.c.Title)
	clock := v.line().add(toneDim, v.now.Format(time.TimeOnly)).add(toneText, " ")
	for _, s := range v.stages() {
		text := s.name
		if s.n > 1 {
			text = fmt.Sprintf("%s (%d)", s.name, s.n)
		}
		mark := "●"
		if s.tone != toneGood { // not by its color alone
			mark = "!"
		}
		if l.width+5+textWidth(v.style.clean(text))+clock.width > v.width {
			break
		}
		l.add(toneText, "   ").add(s.tone, mark).add(toneDim, " "+text)
	}
	return l.right(clock, v.width)
}

// stageSummary is all instances of a stage, in the tone of the worst.
type stageSummary struct {
	name string
	n    int
	tone tone
}

func (v *view) stages() (all []stageSummary) {
	for _, s := range v.c.Stages() {
		health, t := s.Health(), toneGood
		switch {
		case s.Silent(v.now):
			t = toneBad
		case !health.OK:
			t = toneWarn
		}
		if n := len(all); n > 0 && all[n-1].name == health.Stage {
			all[n-1].n++
			all[n-1].tone = max(all[n-1].tone, t)
			continue
		}
		all = append(all, stageSummary{health.Stage, 1, t})
	}
	return all
}

// notice is a line about what is wrong with the whole, or two where it is long.
type notice struct {
	tone       tone
	mark, text string
}

// notices are about the bus, the stages, and this dashboard.
func (v *view) notices() []*line {
	all := append(v.busNotices(), v.stageNotices()...)
	if n := v.c.Dropped; n > 0 {
		all = append(all, notice{toneDim, " ", fmt.Sprintf("%d messages dropped, as this terminal is slow", n)})
	}
	most := max(1, v.height/5)
	if len(all) > most {
		more := len(all) - most + 1
		all = append(all[:most-1], notice{toneWarn, " ", fmt.Sprintf("… %d more problems", more)})
	}
	spare := most - len(all)
	var lines []*line
	for _, n := range all {
		first, rest := v.style.clean(n.text), ""
		if spare > 0 {
			if first, rest = breakLine(first, v.width-3); rest != "" {
				spare--
			}
		}
		lines = append(lines, v.line().add(n.tone, " "+n.mark+" "+first))
		if rest != "" {
			lines = append(lines, v.line().add(n.tone, "   "+rest))
		}
	}
	return lines
}

// busNotices are about the connection, and about silence.
func (v *view) busNotices() (all []notice) {
	link := v.c.Link
	lost := !link.Connected && link.URL != ""
	if lost {
		why := ""
		if link.Why != "" {
			why = ": " + link.Why
		}
		all = append(all, notice{toneBadStrong, "!", "bus: no connection, trying again" + why})
	}
	silence, heard := v.c.Silence(v.now)
	connected := ""
	if link.Connected {
		connected = "; connected to " + link.URL
	}
	switch {
	case !v.c.Sampled() && silence <= firstMessage && !heard:
		all = append(all, notice{toneDim, " ", "starting"})
	case !v.c.Sampled():
		all = append(all, notice{toneWarn, " ", "waiting for the first sample" + connected})
	case silence > firstMessage && !lost:
		all = append(all, notice{toneWarn, "!", fmt.Sprintf("no message for %s%s", spell(silence), connected)})
	}
	return all
}

// stageNotices are about the stages that are silent, not well, or have something to say.
func (v *view) stageNotices() (all []notice) {
	for _, s := range v.c.Stages() {
		health := s.Health()
		name := health.Stage
		if health.Instance != "" {
			name += " " + health.Instance
		}
		switch {
		case s.Silent(v.now):
			all = append(all, notice{toneBad, "!", fmt.Sprintf("%s: silent for %s", name, spell(s.Silence(v.now)))})
		case !health.OK:
			message := health.Message
			if message == "" {
				message = "not well"
			}
			all = append(all, notice{toneWarn, "!", name + ": " + message})
		case health.Message != "":
			all = append(all, notice{toneDim, " ", name + ": " + health.Message})
		}
	}
	return all
}
