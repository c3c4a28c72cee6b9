package notify

import (
	"fmt"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// problemAfter is how long a stage must be not well before that is worth a message: at their start they wait for each other.
const problemAfter = 15 * time.Second

// watch turns what the stages publish into messages. It has no clock and is not safe for concurrent use.
type watch struct {
	model  *model.Model
	stages map[stageKey]*stageState
	lost   time.Time // since when the bus is; zero: it is there
}

type stageKey struct{ stage, instance string }

// stageState is how a stage was when it was last looked at.
type stageState struct {
	bad      time.Time // since when it is not well; zero: it is
	text     string
	reported bool
}

func newWatch(now time.Time) *watch {
	return &watch{
		model:  model.New(now, model.Sizes{Window: time.Second, Entries: 500}),
		stages: map[stageKey]*stageState{},
	}
}

// take is what a message of the bus is worth; what was heard before is worth nothing.
func (w *watch) take(message any, now time.Time) []Message {
	if !w.model.Fold(message, now) {
		return nil
	}
	switch m := message.(type) {
	case bus.Decision:
		if !m.HasSample || m.Desired == m.Current {
			return nil
		}
		kind := ScaleOut
		if m.Desired < m.Current {
			kind = ScaleIn
		}
		return []Message{newMessage(Message{Kind: kind, Group: m.Group, Time: m.Time},
			fmt.Sprintf("%d to %s", m.Current, bus.Count(m.Desired, "VM")), m.Sentence)}
	case bus.Event:
		return []Message{newMessage(Message{Kind: Kind(m.Event), Group: m.Group, VM: m.VM, Host: m.Host, Time: m.Time},
			m.Sentence, m.Error)}
	default: // samples are no news, and how the stages are says tick
		return nil
	}
}

// tick is what the passing of time is worth: stages that are not well, or well again.
func (w *watch) tick(connected bool, now time.Time) (all []Message) {
	w.model.Forget(now)
	if !connected { // nothing is known of the stages meanwhile
		if w.lost.IsZero() {
			w.lost = now
		}
		return append(all, w.look(stageKey{stage: "bus"}, "no connection to the bus", now)...)
	}
	if !w.lost.IsZero() && now.Sub(w.lost) > 0 && w.heardSince(w.lost, now) {
		w.lost = time.Time{}
	}
	all = append(all, w.look(stageKey{stage: "bus"}, "", now)...)
	if !w.lost.IsZero() {
		return all // the stages come again one after the other
	}
	seen := map[stageKey]bool{{stage: "bus"}: true}
	for _, s := range w.model.Stages() {
		h := s.Health()
		key := stageKey{h.Stage, h.Instance}
		seen[key] = true
		text := ""
		switch {
		case s.Silent(now):
			text = "no sign of life"
		case !h.OK && h.Message == "":
			text = "not well"
		case !h.OK:
			text = h.Message
		}
		all = append(all, w.look(key, text, now)...)
	}
	for key := range w.stages { // those that another has replaced, or that nobody has heard of for long
		if !seen[key] {
			all = append(all, w.look(key, "", now)...)
			delete(w.stages, key)
		}
	}
	return all
}

// heardSince reports whether the bus has brought anything after that time.
func (w *watch) heardSince(at, now time.Time) bool {
	silence, heard := w.model.Silence(now)
	return heard && now.Add(-silence).After(at)
}

// look is what the state of a stage is worth; text is what is wrong with it, "" is nothing.
func (w *watch) look(key stageKey, text string, now time.Time) []Message {
	s := w.stages[key]
	if s == nil {
		s = &stageState{}
		w.stages[key] = s
	}
	about, name := Message{Stage: key.stage, Instance: key.instance, Time: now}, strings.TrimSpace(key.stage+" "+key.instance)
	switch {
	case text == "" && s.reported:
		was := s.text
		*s = stageState{}
		about.Kind = Solved
		return []Message{newMessage(about, name, "well again", "was: "+was)}
	case text == "":
		*s = stageState{}
		return nil
	case s.bad.IsZero():
		s.bad = now
	}
	if s.reported || now.Sub(s.bad) < problemAfter {
		return nil
	}
	s.reported, s.text = true, text
	about.Kind, about.Time = Problem, s.bad
	return []Message{newMessage(about, name, text)}
}
