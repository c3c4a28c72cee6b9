package dashboard

import (
	"fmt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// minNames is from which height on the VMs of the list have a line above them with the columns' names.
const minNames = 20

// listLine is a line of the list that is drawn only if it is on the screen.
type listLine struct {
	row  int // in the session's rows; -1: the cursor is never on it
	draw func() *line
}

// list is the groups and their VMs around the cursor.
func (v *view) list(room int) []*line {
	s := v.c.session
	rows := s.rows(v.c, v.now)
	out := []*line{v.listHead(rows)}
	all := v.listLines(rows)
	at := 0
	for i, l := range all {
		if l.row == s.index(rows) {
			at = i
			break
		}
	}
	for _, l := range around(all, at, room-len(out)) {
		drawn := l.draw()
		drawn.pointed = l.row == s.index(rows)
		out = append(out, drawn)
	}
	return out
}

// around is as much of all as there is room for, with what is at that place in its middle.
func around[T any](all []T, at, room int) []T {
	room = max(0, room)
	from := min(max(0, at-room/2), max(0, len(all)-room))
	return all[from:min(len(all), from+room)]
}

// listHead says what the list has.
func (v *view) listHead(rows []listed) *line {
	s := v.c.session
	groups, vms, allVMs := 0, 0, 0
	for _, r := range rows {
		if r.item.vm == "" {
			groups++
			vms += len(s.vms(r.g))
		}
	}
	for _, g := range v.c.Groups() {
		allVMs += g.VMs()
	}
	l := v.line().add(toneDim, " by ").add(toneText, s.order.String())
	if s.filter != "" {
		l.add(toneDim, "   filter ").add(toneStrong, s.filter)
		l.add(toneDim, fmt.Sprintf("   %d of %d groups, %d of %s", groups, len(v.c.Groups()), vms, bus.Count(allVMs, "VM")))
	} else {
		l.add(toneDim, fmt.Sprintf("   %s, %s", bus.Count(groups, "group"), bus.Count(vms, "VM")))
	}
	if n := len(rows); n > 0 {
		l.right(v.line().add(toneDim, fmt.Sprintf("%d/%d ", s.index(rows)+1, n)), v.width)
	}
	return l
}

func (v *view) listLines(rows []listed) []listLine {
	var lines []listLine
	add := func(row int, draw func() *line) { lines = append(lines, listLine{row, draw}) }
	var t table
	for i, r := range rows {
		if r.item.vm != "" {
			of := t
			add(i, func() *line { return of.listed(r) })
			continue
		}
		part := v.group(r.g)
		if v.c.session.isFolded(r.group) {
			add(i, func() *line { return part.head(true).right(v.line().add(toneDim, vms(r.g.VMs())+", folded "), v.width) })
			continue
		}
		add(i, func() *line { return part.head(false) })
		add(-1, part.activity)
		if t = v.table(r.g); v.height >= minNames && i+1 < len(rows) && rows[i+1].item.vm != "" {
			add(-1, t.names)
		}
	}
	return lines
}

// listed is the line of a VM.
func (t table) listed(r listed) *line {
	decision, _ := r.g.Decision()
	return t.row(row{vm: r.vm, host: r.h, stale: r.h.Stale(t.now), clock: r.h.Clock(t.now), machine: decision.Machine})
}

// events are what happened, the newest first, around the cursor.
func (v *view) events(room int) []*line {
	s := v.c.session
	entries := s.entries(v.c)
	l := v.line().add(toneDim, " events, the newest first")
	if s.filter != "" {
		l.add(toneDim, "   filter ").add(toneStrong, s.filter)
	}
	out := []*line{l.right(v.line().add(toneDim, fmt.Sprintf("%d of %d ", len(entries), len(v.c.Entries()))), v.width)}
	if len(entries) == 0 {
		return append(out, v.line().add(toneDim, "  none since this dashboard was started; `vmscaler events` reads the history"))
	}
	at, column := 0, 0
	for i, e := range entries {
		if keyOf(e) == s.entry {
			at = i
		}
		column = max(column, textWidth(v.style.clean(e.Group)))
	}
	type numbered struct {
		model.Entry
		at bool
	}
	all := make([]numbered, len(entries))
	for i, e := range entries {
		all[i] = numbered{e, i == at}
	}
	for _, e := range around(all, at, room-len(out)) {
		drawn := v.entry(e.Entry, min(column, 20))
		drawn.pointed = e.at
		out = append(out, drawn)
	}
	return out
}
