package dashboard

import (
	"maps"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// action is what a key asks of the world.
type action struct {
	quit   bool
	change *Change
}

// maxInput is how many characters can be typed at the bottom line.
const maxInput = 60

// press is what a key does. page is how many lines fit on the screen.
func (s session) press(k key, c *Content, now time.Time, page int) (session, action) {
	s.note = note{}
	if s.input.kind != inputNone {
		return s.answer(k, c, now)
	}
	switch k {
	case 'q', 'Q':
		return s, action{quit: true}
	case '?':
		if s.page != pageHelp {
			s = s.visit(pageHelp)
		}
		return s, action{}
	}
	switch s.page {
	case pageGroups:
		return s.onGroups(k, c, now, page), action{}
	case pageEvents:
		return s.onEvents(k, c, page), action{}
	case pageVM, pageDecision, pageHelp:
		return s.onText(k, c, page), action{}
	}
	return s, action{}
}

// onGroups is press on the groups.
func (s session) onGroups(k key, c *Content, now time.Time, page int) session {
	switch k {
	case keyEscape:
		if s.filter != "" {
			s.filter = ""
		} else {
			s.list = false
		}
		return s
	case 'e':
		s.entry = entryKey{}
		return s.visit(pageEvents)
	case '/':
		s.list, s.input = true, input{kind: inputFilter, text: s.filter}
		return s.move(0, c, now)
	case 'o':
		s.list, s.order = true, (s.order+1)%orders
		return s.move(0, c, now)
	case '*':
		s.list, s.allFolds, s.folded = true, !s.allFolds, nil
		s.at = item{group: s.at.group}
		return s.move(0, c, now)
	}
	if step, moves := steps(k, page); moves {
		if !s.list && step == 1 {
			step = 0 // the first line comes first
		}
		s.list = true
		return s.move(step, c, now)
	}
	if slices.Contains([]key{' ', keyLeft, keyRight, keyEnter, 'x', 'p', 's', 't'}, k) {
		s.list = true
		return s.move(0, c, now).onItem(k, c, now)
	}
	return s
}

// onItem is press for what is done with the line that the cursor is on.
func (s session) onItem(k key, c *Content, now time.Time) session {
	at, there := s.current(c, now)
	if !there {
		s.note = note{toneWarn, "there is no group yet"}
		return s
	}
	switch k {
	case ' ', keyLeft, keyRight:
		return s.fold(at.group, k)
	case keyEnter:
		if at.item.vm != "" {
			s.at = at.item
			return s.visit(pageVM)
		}
		return s.explain(at.g)
	case 'x':
		return s.explain(at.g)
	}
	return s.propose(k, at, c)
}

// propose asks whether something is to be changed, where that is possible.
func (s session) propose(k key, at listed, c *Content) session {
	if c.ReadOnly != "" {
		s.note = note{toneWarn, "read-only: " + c.ReadOnly}
		return s
	}
	d, decided := at.g.Decision()
	confirm := func(kind ChangeKind) session {
		s.input = input{kind: inputConfirm, change: Change{Kind: kind, Group: at.group, VM: at.item.vm}}
		return s
	}
	switch k {
	case 'p':
		if len(d.Controls.Paused) > 0 {
			return confirm(ChangeResume)
		}
		return confirm(ChangePause)
	case 's':
		if !decided {
			s.note = note{toneWarn, "group " + at.group + ": no decision yet"}
			return s
		}
		s.input = input{kind: inputNumber, change: Change{Kind: ChangeScale, Group: at.group}}
		return s
	case 't':
		switch {
		case at.item.vm == "":
			s.note = note{toneWarn, "protect: want a VM, found the group " + at.group}
			return s
		case at.vm.Protected:
			return confirm(ChangeUnprotect)
		}
		return confirm(ChangeProtect)
	}
	return s
}

// explain opens the newest decision of a group.
func (s session) explain(g *model.Group) session {
	d, decided := g.Decision()
	if !decided {
		s.note = note{toneWarn, "group " + g.Name() + ": no decision yet"}
		return s
	}
	return s.open(&d)
}

func (s session) open(d *bus.Decision) session {
	s.decision = d
	return s.visit(pageDecision)
}

// fold folds a group, or unfolds it.
func (s session) fold(group string, k key) session {
	want := !s.isFolded(group)
	switch k {
	case keyLeft:
		want = true
	case keyRight:
		want = false
	}
	folded := maps.Clone(s.folded)
	if folded == nil {
		folded = map[string]bool{}
	}
	if want == s.allFolds {
		delete(folded, group)
	} else {
		folded[group] = true
	}
	s.folded = folded
	if want {
		s.at = item{group: group}
	}
	return s
}

// onEvents is press on the events.
func (s session) onEvents(k key, c *Content, page int) session {
	entries := s.entries(c)
	at := max(0, slices.IndexFunc(entries, func(e model.Entry) bool { return keyOf(e) == s.entry }))
	switch k {
	case keyEscape, 'e':
		if k == keyEscape && s.filter != "" {
			s.filter = ""
			return s
		}
		return s.leave()
	case '/':
		s.input = input{kind: inputFilter, text: s.filter}
		return s
	case keyEnter:
		if at >= len(entries) {
			return s
		}
		return s.openEntry(entries[at], c)
	}
	if step, moves := steps(k, page); moves && len(entries) > 0 {
		at = min(max(at+step, 0), len(entries)-1)
		s.entry = keyOf(entries[at])
		if at == 0 {
			s.entry = entryKey{} // it follows what comes
		}
	}
	return s
}

// openEntry opens what an event is about.
func (s session) openEntry(e model.Entry, c *Content) session {
	s.entry = keyOf(e)
	if e.Decided != nil {
		return s.open(e.Decided)
	}
	g := c.Group(e.Group)
	if g == nil {
		s.note = note{toneWarn, "group " + e.Group + " is gone"}
		return s
	}
	if e.VM == "" {
		return s.explain(g)
	}
	for _, h := range g.Hosts() {
		for _, vm := range h.Sample().VMs {
			if vm.Name == e.VM {
				s.at = item{e.Group, h.Sample().HostID, vm.Name}
				return s.visit(pageVM)
			}
		}
	}
	s.note = note{toneWarn, "VM " + e.VM + " is gone"}
	return s
}

// onText is press on a page of text.
func (s session) onText(k key, c *Content, page int) session {
	switch k {
	case keyEscape, keyEnter:
		return s.leave()
	case 'x', 'p', 's', 't':
		if s.page != pageVM {
			return s
		}
		at, there := s.at.find(c)
		switch {
		case !there:
			s.note = note{toneWarn, "VM " + s.at.vm + " is gone"}
			return s
		case k == 'x':
			return s.explain(at.g)
		}
		return s.propose(k, at, c)
	}
	if step, moves := steps(k, page); moves {
		s.scroll = max(0, s.scroll+step) // settle knows where the end is
	}
	return s
}

// steps is by how many lines a key moves.
func steps(k key, page int) (step int, moves bool) {
	const all = 1 << 30
	switch k {
	case keyUp, 'k':
		return -1, true
	case keyDown, 'j':
		return 1, true
	case keyPageUp:
		return -max(1, page), true
	case keyPageDown:
		return max(1, page), true
	case keyHome, 'g':
		return -all, true
	case keyEnd, 'G':
		return all, true
	}
	return 0, false
}

// move moves the cursor. Where its line is gone, it goes on from where that was.
func (s session) move(step int, c *Content, now time.Time) session {
	rows := s.rows(c, now)
	if len(rows) == 0 {
		s.at, s.row = item{}, 0
		return s
	}
	s.row = min(max(s.index(rows)+step, 0), len(rows)-1)
	s.at = rows[s.row].item
	return s
}

// index is where the cursor is in the list.
func (s session) index(rows []listed) int {
	if i := slices.IndexFunc(rows, func(r listed) bool { return r.item == s.at }); i >= 0 {
		return i
	}
	return min(s.row, max(0, len(rows)-1))
}

// current is the line that the cursor is on.
func (s session) current(c *Content, now time.Time) (at listed, there bool) {
	rows := s.rows(c, now)
	if len(rows) == 0 {
		return listed{}, false
	}
	return rows[s.index(rows)], true
}
