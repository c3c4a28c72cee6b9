package dashboard

import (
	"fmt"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// history fills the lines that are left with what happened, the newest at the top.
func (v *view) history(room int, groups []*model.Group, blank bool) []*line {
	if room < 2 || len(v.entries) == 0 {
		return nil
	}
	column := 0 // the group's name, where there is more than one
	if len(groups) > 1 {
		for _, g := range groups {
			column = max(column, textWidth(v.style.clean(g.Name())))
		}
	}
	var lines []*line
	if blank && room > 3 {
		lines = append(lines, v.line())
	}
	head := v.line().add(toneDim, " ── recent ")
	head.add(toneDim, strings.Repeat("─", max(0, v.width-head.width-1)))
	lines = append(lines, head)
	for i := len(v.entries) - 1; i >= 0 && len(lines) < room; i-- {
		lines = append(lines, v.entry(v.entries[i], min(column, 20)))
	}
	return lines
}

func (p page) entry(e model.Entry, column int) *line {
	l := p.line().add(toneDim, " "+e.Time.In(p.now.Location()).Format(time.TimeOnly)+"  ")
	if column > 0 {
		l.cell(toneText, e.Group, column).add(toneText, "  ")
	}
	if e.Decision {
		mark, t := "▲", toneWarnStrong
		if e.To < e.From {
			mark, t = "▼", toneInfo
		}
		l.add(t, fmt.Sprintf("%s %d → %d", mark, e.From, e.To))
		return l.add(toneText, "  "+e.Sentence)
	}
	t := toneText
	switch e.Event {
	case bus.EventReady, bus.EventAdopted, bus.EventRecovered:
		t = toneGood
	case bus.EventFailed, bus.EventDied:
		t = toneBad
	case bus.EventTakenName, bus.EventBraked, bus.EventControl, bus.EventFailing, bus.EventRefresh, bus.EventRetiring,
		bus.EventRetained, bus.EventIgnored, bus.EventOrdered, bus.EventStandby, bus.EventDetached, bus.EventAttached,
		bus.EventHost, bus.EventIsolated:
		t = toneWarn
	case bus.EventCreating, bus.EventStarted, bus.EventDraining, bus.EventStopping, bus.EventRemoved, bus.EventDryRun,
		bus.EventWarmed, bus.EventHanded, bus.EventTemplate:
		t = toneInfo
	case bus.EventUnhealthy, bus.EventKept, bus.EventWaiting, bus.EventRefused, bus.EventOrphan:
	}
	l.cell(t, string(e.Event), max(8, textWidth(string(e.Event)))).add(toneText, "  ")
	if e.VM != "" {
		l.add(toneStrong, e.VM+"  ")
	}
	if e.Error != "" {
		l.add(toneBad, e.Error+"  ")
	}
	l.add(toneText, e.Sentence)
	if e.Elapsed >= 100*time.Millisecond {
		l.add(toneDim, "  "+elapsed(e.Elapsed))
	}
	return l
}
