package dashboard

import (
	"fmt"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// plain turns messages into lines for a log or a pipe: one per event and per change, none for a tick that
// brought nothing new.
type plain struct {
	content *Content
	groups  map[string]plainGroup
	stages  map[stageKey]plainHealth
	link    Link
	linked  bool // link is known
	waiting bool // said so
	dropped uint64
	at      timeText
}

// timeText is how a line has its time.
type timeText func(time.Time) string

// logged is a time as logs have it.
func logged(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// clock is a time as a person's clock shows it.
func clock(loc *time.Location) timeText {
	return func(at time.Time) string { return at.In(loc).Format(time.DateTime) }
}

// stageKey is an instance of a stage.
type stageKey struct{ stage, instance string }

// plainHealth is what was last said of a stage.
type plainHealth struct {
	health bus.Health
	silent bool
}

// plainGroup is what was last said of a group.
type plainGroup struct {
	known   bool
	desired int
	rule    bus.Rule
	guard   bus.Guard
}

func newPlain(c *Content) *plain {
	return &plain{content: c, groups: map[string]plainGroup{}, stages: map[stageKey]plainHealth{}, at: logged}
}

// message folds a message and returns the lines that it deserves.
func (p *plain) message(message any, now time.Time) []string {
	p.tidy()
	if !p.content.Fold(message, now) {
		return nil
	}
	switch message := message.(type) {
	case bus.Decision:
		return p.decision(message)
	case bus.Event:
		return eventLines(message, p.at)
	case bus.Health:
		return p.health(message, false, now)
	default:
		return nil
	}
}

// tick returns the lines that the passing of time deserves.
func (p *plain) tick(now time.Time) []string {
	var lines []string
	c := p.content
	if link := c.Link; !p.linked || link.Connected != p.link.Connected || link.Why != p.link.Why && !link.Connected {
		switch {
		case !link.Connected && link.Why != "":
			lines = append(lines, plainLine(p.at(now), "", "bus", "no connection, trying again: "+link.Why))
		case !link.Connected:
			lines = append(lines, plainLine(p.at(now), "", "bus", "no connection, trying again"))
		case p.linked:
			lines = append(lines, plainLine(p.at(now), "", "bus", "connected again to "+link.URL))
		default:
			lines = append(lines, plainLine(p.at(now), "", "bus", "connected to "+link.URL))
		}
		p.link, p.linked = link, true
	}
	if silence, heard := c.Silence(now); !p.waiting && !heard && silence > firstMessage {
		lines = append(lines, plainLine(p.at(now), "", "waiting", "for the first sample"))
		p.waiting = true
	}
	if c.Dropped > p.dropped {
		text := fmt.Sprintf("%d messages: the output is slow", c.Dropped-p.dropped)
		lines = append(lines, plainLine(p.at(now), "", "dropped", text))
		p.dropped = c.Dropped
	}
	for _, s := range c.Stages() {
		if s.Silent(now) {
			lines = append(lines, p.health(s.Health(), true, now)...)
		}
	}
	c.Forget(now)
	return lines
}

func (p *plain) decision(d bus.Decision) []string {
	last := p.groups[d.Group]
	next := plainGroup{known: true, desired: d.Desired, rule: d.Rule, guard: d.Guard}
	p.groups[d.Group] = next
	changed := d.HasSample && d.Desired != d.Current
	if next == last && !changed {
		return nil
	}
	text := fmt.Sprintf("desired %d", d.Desired)
	if changed {
		text = fmt.Sprintf("desired %d -> %d", d.Current, d.Desired)
	}
	if !d.HasSample {
		text = "desired unknown"
	}
	text += "  rule " + orNone(d.Rule)
	if d.Guard != "" {
		text += " guard " + string(d.Guard)
	}
	if d.Sentence != "" {
		text += "  " + d.Sentence
	}
	direction := d.Direction
	if direction == "" {
		direction = bus.Hold
	}
	return []string{plainLine(p.at(d.Time), d.Group, "decision-"+string(direction), text)}
}

func (p *plain) health(h bus.Health, silent bool, now time.Time) []string {
	key := stageKey{h.Stage, h.Instance}
	text := "ok"
	at := h.Time
	switch {
	case silent:
		text, at = "silent", now
	case !h.OK:
		text = "not ok"
	}
	if h.Message != "" && !silent {
		text += ": " + h.Message
	}
	said := plainHealth{h, silent}
	if last, known := p.stages[key]; known && last.silent == silent && (silent || last.health.Same(&h)) {
		return nil // not each second again for how long
	}
	p.stages[key] = said
	return []string{plainLine(p.at(at), "", "health", h.Stage+" "+h.Instance+" "+text)}
}

// tidy forgets what the model forgot, so that memory stays bounded.
func (p *plain) tidy() {
	for name := range p.groups {
		if p.content.Group(name) == nil {
			delete(p.groups, name)
		}
	}
	for key := range p.stages {
		if p.content.Stage(key.stage, key.instance) == nil {
			delete(p.stages, key)
		}
	}
}

// plainLine is "TIME GROUP  KIND  TEXT"; the group is "-" where there is none.
func plainLine(at, group, kind, text string) string {
	if group == "" {
		group = "-"
	}
	l := fmt.Sprintf("%s %s  %-12s  %s", at, group, kind, text)
	return strings.TrimRight(Style{Unicode: true}.clean(l), " ")
}

func eventText(e bus.Event) string {
	parts := make([]string, 0, 4)
	for _, part := range []string{e.VM, e.Sentence} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if e.ElapsedMS > 0 {
		parts = append(parts, "after "+elapsed(time.Duration(e.ElapsedMS)*time.Millisecond))
	}
	if e.Error != "" {
		parts = append(parts, "error: "+e.Error)
	}
	return strings.Join(parts, "  ")
}

func orNone(rule bus.Rule) string {
	if rule == "" {
		return "none"
	}
	return string(rule)
}

// EventLine is an event as a line for a person, with its time in loc, and with what the VM printed last on lines of their own.
func EventLine(e bus.Event, loc *time.Location) string {
	return strings.Join(eventLines(e, clock(loc)), "\n")
}

func eventLines(e bus.Event, at timeText) []string {
	lines := []string{plainLine(at(e.Time), e.Group, string(e.Event), eventText(e))}
	for _, said := range e.Console {
		lines = append(lines, strings.TrimRight("    console | "+Style{Unicode: true}.clean(said), " "))
	}
	return lines
}

// DecisionLine is a decision as a line for a person, with its time in loc, whatever was said before.
func DecisionLine(d bus.Decision, loc *time.Location) string {
	return NewChanges(loc).Decision(d)
}

// Changes turns decisions into lines for a person, one for each that differs from the one before of its group.
type Changes struct{ lines plain }

// NewChanges shows times in loc.
func NewChanges(loc *time.Location) *Changes {
	return &Changes{plain{groups: map[string]plainGroup{}, at: clock(loc)}}
}

// Decision is the line of a decision; "" where nothing has changed.
func (c *Changes) Decision(d bus.Decision) string { return strings.Join(c.lines.decision(d), "\n") }
