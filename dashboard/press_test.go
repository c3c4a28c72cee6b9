package dashboard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// typed presses keys one after the other, as they would come from a terminal of 80x24.
func typed(t *testing.T, c *Content, now time.Time, text string) action {
	t.Helper()
	keys, rest := decode([]byte(text))
	if len(rest) > 0 {
		keys = append(keys, keyEscape) // alone at the end
	}
	var last action
	for _, k := range keys {
		if c.session.page == pageGroups {
			_ = c.session.rows(c, now)
		}
		c.session, last = c.session.press(k, c, now, 20)
	}
	return last
}

const (
	up, down, left, right = "\x1b[A", "\x1b[B", "\x1b[D", "\x1b[C"
	end, pageDown         = "\x1b[F", "\x1b[6~"
	enter, esc            = "\r", "\x1b"
)

func TestPress(t *testing.T) {
	const groups = pageGroups
	group, v := item{group: "autoscale"}, func(n int) item { return item{"autoscale", "kvm1", fmt.Sprint("autoscale-", n)} }
	change := func(kind ChangeKind, group, vm string) *Change { return &Change{Kind: kind, Group: group, VM: vm} }
	scale := func(n int) *Change { return &Change{Kind: ChangeScale, Group: "autoscale", Desired: n} }
	for name, tt := range map[string]struct {
		model func() (*Content, time.Time)
		keys  string
		at    item // the cursor
		page  pageKind
		note  string // a part of it
		want  *Change
		quit  bool
	}{
		"nothing":                    {busy, "", item{}, groups, "", nil, false},
		"the first line comes first": {busy, down, group, groups, "", nil, false},
		"down":                       {busy, "jj", v(1), groups, "", nil, false},
		"up again":                   {busy, "jjjk", v(1), groups, "", nil, false},
		"not beyond the ends":        {busy, "j" + end + down, v(5), groups, "", nil, false},
		"to the end at once":         {busy, end, v(5), groups, "", nil, false},
		"by pages": {
			crowded, "j" + pageDown, item{"batch", "kvm1.example.org", "batch-8"}, groups, "", nil, false,
		},
		"quit":                   {busy, "q", item{}, groups, "", nil, true},
		"quit from a page":       {busy, "?q", item{}, pageHelp, "", nil, true},
		"q can be typed":         {busy, "/q", item{}, groups, "", nil, false},
		"help and back":          {busy, "?" + esc, item{}, groups, "", nil, false},
		"a VM":                   {busy, "jj" + enter, v(1), pageVM, "", nil, false},
		"a VM, help, back":       {busy, "jj" + enter + "?" + esc, v(1), pageVM, "", nil, false},
		"a group's decision":     {busy, "j" + enter, group, pageDecision, "", nil, false},
		"a VM's group":           {busy, "jjx", v(1), pageDecision, "", nil, false},
		"no decision":            {crowded, "jx", item{group: "api"}, groups, "group api: no decision yet", nil, false},
		"an event's decision":    {busy, "e" + end + enter, item{}, pageDecision, "", nil, false},
		"an event's VM":          {busy, "ejj" + enter, v(4), pageVM, "", nil, false},
		"and back to the events": {busy, "ejj" + enter + enter, v(4), pageEvents, "", nil, false},
		"a VM that is gone":      {busy, "e" + enter, item{}, pageEvents, "VM autoscale-6 is gone", nil, false},
		"filter":                 {busy, "/-3" + enter + down, v(3), groups, "", nil, false},
		"filter, all of a named group": {
			crowded, "/WEB" + enter + end, item{"web", "kvm2.example.org", "web-12"}, groups, "", nil, false,
		},
		"filter by phase":           {busy, "/launching" + enter + end, v(4), groups, "", nil, false},
		"a filter that leaves none": {busy, "/zzz" + enter + "p", item{}, groups, "there is no group yet", nil, false},
		"the busiest first":         {busy, "oj", v(3), groups, "", nil, false},
		"trouble first":             {busy, "oooj", v(5), groups, "", nil, false},
		"a folded group has no VMs": {busy, left + end, group, groups, "", nil, false},
		"unfolded again":            {busy, left + right + end, v(5), groups, "", nil, false},
		"all folded":                {crowded, "*" + end, item{group: "web"}, groups, "", nil, false},
		"all folded but one": {
			crowded, "*" + end + right + down, item{"web", "kvm1.example.org", "web-1"}, groups, "", nil, false,
		},
		"pause asks first":              {busy, "jp", group, groups, "", nil, false},
		"pause":                         {busy, "jpy", group, groups, "", change(ChangePause, "autoscale", ""), false},
		"not pause":                     {busy, "jpn", group, groups, "nothing is changed", nil, false},
		"Enter is no yes":               {busy, "jp" + enter, group, groups, "nothing is changed", nil, false},
		"q is no yes and does not quit": {busy, "jpq", group, groups, "nothing is changed", nil, false},
		"resume":                        {held, "jpy", item{group: "dark"}, groups, "", change(ChangeResume, "dark", ""), false},
		"scale":                         {busy, "js4" + enter + "y", group, groups, "", scale(4), false},
		"scale below min":               {busy, "js0" + enter + "y", group, groups, "", nil, false},
		"scale beyond max":              {busy, "js99" + enter, group, groups, "found 99, want 1 to 5, the min and max", nil, false},
		"scale asks first":              {busy, "js4" + enter, group, groups, "", nil, false},
		"scale, letters and edits":      {busy, "jsx-1\x7f3" + enter + "y", group, groups, "", scale(3), false},
		"scale, no more":                {busy, "js4" + esc, group, groups, "nothing is changed", nil, false},
		"nothing to release":            {busy, "js" + enter + "y", group, groups, "", nil, false},
		"release": {
			scaledByHand, "js" + enter + "y", item{group: "web"}, groups, "", change(ChangeRelease, "web", ""), false,
		},
		"protect": {busy, "jjty", v(1), groups, "", change(ChangeProtect, "autoscale", "autoscale-1"), false},
		"protect on its page": {
			busy, "jj" + enter + "ty", v(1), pageVM, "", change(ChangeProtect, "autoscale", "autoscale-1"), false,
		},
		"protect a group": {busy, "jt", group, groups, "want a VM, found the group autoscale", nil, false},
		"unprotect": {
			held, end + end + "kty", item{"web", "kvm1", "web-1"}, groups, "", change(ChangeUnprotect, "web", "web-1"), false,
		},
		"read-only":                {readOnly, "jpy", group, groups, "", nil, false},
		"read-only says so":        {readOnly, "jp", group, groups, "read-only: no key", nil, false},
		"scale without a decision": {crowded, "js", item{group: "api"}, groups, "no decision yet", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, now := tt.model()
			got := typed(t, c, now, tt.keys)
			if s := c.session; s.at != tt.at || s.page != tt.page || !strings.Contains(s.note.text, tt.note) ||
				tt.note == "" && s.note.text != "" {
				t.Errorf("at %+v, page %d, note %q; want %+v, %d, %q", s.at, s.page, s.note.text, tt.at, tt.page, tt.note)
			}
			if got.quit != tt.quit || (got.change == nil) != (tt.want == nil) || tt.want != nil && *got.change != *tt.want {
				t.Errorf("asks for %+v, %+v; want %v, %+v", got, got.change, tt.quit, tt.want)
			}
		})
	}
}

func readOnly() (*Content, time.Time) {
	c, now := busy()
	c.ReadOnly = "no key"
	return c, now
}

func scaledByHand() (*Content, time.Time) {
	c := NewContent(start)
	d := decision("web", 0)
	d.Controls.Desired, d.Controls.Set = ptr(2), map[string]string{"max": "7"}
	c.Sample(sample("web", "kvm1", 0, vm("web-1", ptr(20.0))), start)
	c.Decision(d, start)
	return c, at(1)
}

// The cursor stays where its line was when that has gone.
func TestCursorSurvivesItsLine(t *testing.T) {
	c := NewContent(start)
	c.Sample(sample("web", "kvm1", 0, vm("web-1", nil), vm("web-2", nil), vm("web-3", nil)), start)
	typed(t, c, start, "jjj")
	c.Sample(sample("web", "kvm1", 1, vm("web-1", nil), vm("web-3", nil)), at(1))
	if got, there := c.session.current(c, at(1)); !there || got.item.vm != "web-3" {
		t.Errorf("the cursor is on %+v, want web-3, which took the line", got.item)
	}
	c.Sample(sample("web", "kvm1", 2), at(2))
	if got, there := c.session.current(c, at(2)); !there || got.item != (item{group: "web"}) {
		t.Errorf("the cursor is on %+v, want the group", got.item)
	}
	c.Forget(at(10_000))
	if _, there := c.session.current(c, at(10_000)); there {
		t.Error("the cursor is on a line of an empty list")
	}
}

// What is asked about a VM is done to that VM, though the list has changed meanwhile.
func TestQuestionIsKept(t *testing.T) {
	c, now := busy()
	typed(t, c, now, "jjjt")
	c.Sample(sample("autoscale", "kvm1", 61, vm("autoscale-5", nil)), at(61))
	got := typed(t, c, at(61), "y")
	if got.change == nil || got.change.VM != "autoscale-2" {
		t.Errorf("asks for %+v, want autoscale-2, whose name was in the question", got.change)
	}
}

// A long page is scrolled to its end and no further.
func TestScrollEnds(t *testing.T) {
	c, now := busy()
	c.Explain = func(bus.Decision) (lines []string) {
		for i := range 50 {
			lines = append(lines, fmt.Sprintf("step %d", i))
		}
		return lines
	}
	typed(t, c, now, "jx"+end)
	c.session = c.session.settle(c, 80, 24, now, Style{})
	lines := strings.Join(Render(c, 80, 24, now, Style{}), "\n")
	if !strings.Contains(lines, "step 49") || strings.Contains(lines, "step 20\n") {
		t.Errorf("want the end of the page:\n%s", lines)
	}
	typed(t, c, now, up)
	if lines := strings.Join(Render(c, 80, 24, now, Style{}), "\n"); strings.Contains(lines, "step 49") {
		t.Errorf("one line up still shows the end:\n%s", lines)
	}
}
