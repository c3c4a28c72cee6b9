package dashboard

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/dashboard/model"
)

// Render draws the content: at most height lines of at most width cells each. Times of day are shown in now's
// location.
func Render(c *Content, width, height int, now time.Time, style Style) []string {
	if width <= 0 || height <= 0 {
		return nil
	}
	v := view{page{width, height, now, style}, c, c.Entries()}
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
	c       *Content
	entries []model.Entry
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
	top := append([]*line{v.title()}, v.notices()...)
	bottom := v.bottom()
	room := v.height - len(top) - len(bottom)
	lines := append(top, v.body(room)...)
	if len(bottom) > 0 {
		for len(lines) < v.height-len(bottom) {
			lines = append(lines, v.line())
		}
		lines = lines[:max(0, v.height-len(bottom))]
	}
	return append(lines, bottom...)
}

// body is what is between the top and the bottom, by where the person is.
func (v *view) body(room int) []*line {
	switch s := v.c.session; s.page {
	case pageGroups:
		if s.list {
			return v.list(room)
		}
		return v.overview(room)
	case pageEvents:
		return v.events(room)
	case pageVM, pageDecision, pageHelp:
		lines, room := v.text(), max(0, room)
		from := min(s.scroll, max(0, len(lines)-room))
		return lines[from:min(len(lines), from+room)]
	}
	return nil
}

// overview is everything, in as much detail as there is room for.
func (v *view) overview(room int) []*line {
	groups := v.c.Groups()
	body, blanks := v.fit(groups, room)
	return append(body, v.history(room-len(body), groups, blanks)...)
}

// fit draws the groups in as much detail as there is room for.
func (v *view) fit(groups []*model.Group, room int) (lines []*line, blanks bool) {
	most := 0
	extents := make([]extent, len(groups))
	for i, g := range groups {
		extents[i] = extent{len(g.Hosts()), g.VMs()}
		most = max(most, extents[i].vms)
	}
	history := 0
	if len(v.entries) > 0 {
		history = 1 + min(4, len(v.entries))
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
			if heightOf(extents, level)+level.log <= room {
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

// extent is how much there is of a group.
type extent struct{ hosts, vms int }

// heightOf is how many lines groups of these extents give.
func heightOf(groups []extent, d detail) int {
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
			n += g.hosts
		}
		if d.names && g.vms > 0 && d.vms > 0 {
			n++
		}
		n += min(g.vms, d.vms)
		if g.vms > d.vms {
			n++
		}
	}
	return n
}

func (v *view) groups(groups []*model.Group, d detail) []*line {
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
			for _, h := range g.Hosts() {
				lines = append(lines, v.host(h))
			}
		}
	}
	return lines
}
