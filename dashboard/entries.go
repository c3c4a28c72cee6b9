package dashboard

import (
	"fmt"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

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
		lines = append(lines, v.line())
	}
	head := v.line().add(toneDim, " ── recent ")
	head.add(toneDim, strings.Repeat("─", max(0, v.width-head.width-1)))
	lines = append(lines, head)
	for i := len(v.m.entries) - 1; i >= 0 && len(lines) < room; i-- {
		lines = append(lines, v.entry(v.m.entries[i], min(column, 20)))
	}
	return lines
}

func (p page) entry(e entry, column int) *line {
	l := p.line().add(toneDim, " "+e.at.In(p.now.Location()).Format(time.TimeOnly)+"  ")
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
