package dashboard

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// session is where a person is in the dashboard. Its zero value is the overview, which shows of everything as much as fits.
// It is a value: a key makes another one of it.
type session struct {
	page     pageKind
	trail    []pageKind // where Esc leads back to, the last one next
	list     bool       // the groups are a list to move in, not the overview
	at       item       // the line that the cursor is on, or the VM that is open
	row      int        // where that line was last
	entry    entryKey   // the event that the cursor is on; zero: the newest
	decision *bus.Decision
	scroll   int // of a page of text
	folded   map[string]bool
	allFolds bool // all groups are folded, but for those in folded
	order    order
	filter   string
	input    input
	note     note
}

// pageKind is what fills the screen.
type pageKind int

const (
	pageGroups pageKind = iota
	pageEvents
	pageVM
	pageDecision
	pageHelp
)

// input is what is asked at the bottom line.
type input struct {
	kind   inputKind
	text   string // typed so far
	change Change // that is asked for, or whose number is typed
}

type inputKind int

const (
	inputNone    inputKind = iota
	inputFilter            // a filter is typed
	inputNumber            // the number of VMs of a group is typed
	inputConfirm           // yes or no
)

// note is an answer at the bottom line, until the next key.
type note struct {
	tone tone
	text string
}

// item is a line that the cursor can be on: a group, or a VM of it.
type item struct {
	group string
	host  bus.HostID
	vm    string
}

// listed is a line of the list, with what it shows.
type listed struct {
	item
	g  *model.Group
	h  *model.Host // of a VM
	vm bus.VM
}

// entryKey says which of the entries one is.
type entryKey struct {
	at        int64
	group, vm string
	event     bus.EventType
}

func keyOf(e model.Entry) entryKey { return entryKey{e.Time.UnixNano(), e.Group, e.VM, e.Event} }

// order is what the groups and the VMs in them are sorted by.
type order int

const (
	byName    order = iota
	byCPU           // the busiest first, those whose CPU is unknown last
	byAge           // the newest first
	byTrouble       // what is not well first
	orders
)

func (o order) String() string {
	return [...]string{"name", "CPU", "age", "trouble"}[o]
}

// visit goes to a page, from which Esc leads back.
func (s session) visit(page pageKind) session {
	s.trail, s.page, s.scroll = append(slices.Clone(s.trail), s.page), page, 0
	return s
}

// leave goes back to where the person came from.
func (s session) leave() session {
	s.page, s.scroll = pageGroups, 0
	if n := len(s.trail); n > 0 {
		s.page, s.trail = s.trail[n-1], slices.Clone(s.trail[:n-1])
	}
	return s
}

// isFolded reports whether only a group's first line is shown.
func (s session) isFolded(group string) bool { return s.folded[group] != s.allFolds }

// rows are the lines of the list: what the filter leaves, in order. A group that the filter names is there with all its VMs,
// others with those that it names.
func (s session) rows(c *Content, now time.Time) []listed {
	groups := c.Groups()
	slices.SortStableFunc(groups, func(a, b *model.Group) int { return s.order.groups(a, b, now) })
	var rows []listed
	for _, g := range groups {
		vms := s.vms(g)
		if len(vms) == 0 && !s.matches(g.Name()) {
			continue
		}
		rows = append(rows, listed{item: item{group: g.Name()}, g: g})
		if !s.isFolded(g.Name()) {
			rows = append(rows, vms...)
		}
	}
	return rows
}

// vms are those of a group that the filter leaves, in order.
func (s session) vms(g *model.Group) (rows []listed) {
	all := s.matches(g.Name())
	for _, h := range g.Hosts() {
		sample := h.Sample()
		for _, vm := range sample.VMs {
			if all || s.matches(vm.Name, sample.Host, string(vm.Phase), string(vm.State)) {
				rows = append(rows, listed{item{g.Name(), sample.HostID, vm.Name}, g, h, vm})
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b listed) int { return s.order.vms(a.vm, b.vm) })
	return rows
}

// find is the group, or the VM, of an item, whatever the filter leaves.
func (i item) find(c *Content) (at listed, there bool) {
	g := c.Group(i.group)
	if g == nil {
		return listed{}, false
	}
	if i.vm == "" {
		return listed{item: i, g: g}, true
	}
	for _, h := range g.Hosts() {
		if sample := h.Sample(); sample.HostID == i.host {
			for _, vm := range sample.VMs {
				if vm.Name == i.vm {
					return listed{i, g, h, vm}, true
				}
			}
		}
	}
	return listed{}, false
}

// matches reports whether the filter leaves something of one of these names.
func (s session) matches(names ...string) bool {
	want := strings.ToLower(s.filter)
	return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(strings.ToLower(name), want) })
}

// entries are the events that the filter leaves, the newest first.
func (s session) entries(c *Content) []model.Entry {
	all := slices.DeleteFunc(c.Entries(), func(e model.Entry) bool {
		return !s.matches(e.Group, e.VM, string(e.Event), e.Sentence, e.Error)
	})
	slices.Reverse(all)
	return all
}

func (o order) groups(a, b *model.Group, now time.Time) int {
	switch o {
	case byCPU:
		return compareCPU(a.Average(now), b.Average(now))
	case byTrouble:
		return cmp.Compare(trouble(activityOf(b, now).tone), trouble(activityOf(a, now).tone))
	case byName, byAge, orders: // which groups come in, or do not have
	}
	return 0
}

func (o order) vms(a, b bus.VM) int {
	switch o {
	case byCPU:
		return compareCPU(a.CPUPercent, b.CPUPercent)
	case byAge:
		return b.Created.Compare(a.Created)
	case byTrouble:
		return cmp.Compare(vmTrouble(b), vmTrouble(a))
	case byName, orders: // they come in it, by host
	}
	return 0
}

// compareCPU puts the higher one first, and what is unknown last.
func compareCPU(a, b *float64) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return cmp.Compare(*b, *a)
}

// trouble is how bad the tone of a group's activity is.
func trouble(t tone) int {
	switch t { //nolint:exhaustive // the others are no trouble
	case toneBad, toneBadStrong:
		return 2
	case toneWarn, toneWarnStrong:
		return 1
	}
	return 0
}

// vmTrouble is how far a VM is from serving.
func vmTrouble(vm bus.VM) int {
	switch {
	case vm.Phase == bus.PhaseFailed, vm.Error != "", vm.Phase.Capacity() && vm.State.Off():
		return 3
	case vm.Phase.Serves() && vm.State != bus.StateRunning:
		return 2
	case !vm.Phase.Serves() && vm.Phase != bus.PhaseWarm:
		return 1
	}
	return 0
}
