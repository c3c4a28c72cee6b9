package dashboard

import (
	"fmt"
	"slices"
	"time"
)

// Render draws the model: at most height lines of at most width cells each. Times of day are shown in now's
// location.
func Render(m *Model, width, height int, now time.Time, style Style) []string {
	if width <= 0 || height <= 0 {
		return nil
	}
	v := view{page{width, height, now, style}, m}
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

// page is what all parts of a rendering are drawn for.
type page struct {
	width, height int
	now           time.Time
	style         Style
}

func (p page) line() *line { return p.style.line() }

// view is one rendering: it arranges the parts, which draw themselves.
type view struct {
	page
	m *Model
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
			lines = append(lines, v.line())
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
			lines = append(lines, v.line().add(toneDim, fmt.Sprintf("  … %d more groups", len(groups)-i)))
			break
		}
		lines = append(lines, v.group(g).head(true))
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
			lines = append(lines, v.line())
		}
		part := v.group(g)
		lines = append(lines, part.head(false))
		if d.bar {
			lines = append(lines, part.bar())
		}
		if d.activity {
			lines = append(lines, part.activity())
		}
		lines = append(lines, v.table(g).lines(d)...)
		if d.hosts {
			for _, h := range g.sortedHosts() {
				lines = append(lines, v.host(h))
			}
		}
	}
	return lines
}
