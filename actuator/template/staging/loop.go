package staging

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// loop is what Run's goroutine owns.
type loop struct {
	*Stager
	running   *sync.WaitGroup // what is not in that goroutine
	infos     map[string]template.Info
	looked    time.Time // zero: not yet
	looking   bool
	blind     bool                 // the last look failed
	outdated  bool                 // what the look that goes on has seen may not be so any more
	came      map[string]bool      // templates that have come, and that no look has shown yet
	changed   map[string]bool      // templates of which only another look can tell
	transfers map[string]*transfer // by template
	failures  map[string]failure   // by template
	shunned   map[shun]time.Time   // until when
	waits     map[string]time.Time // by template: until when, as its hosts were busy
	cleaned   time.Time
	looks     chan look
	ends      chan ended
}

// failure is a template that could not be had.
type failure struct {
	problem
	inRow int
	until time.Time // it is not tried before
}

func (l *loop) run(ctx context.Context) {
	ticker := time.NewTicker(min(tick, l.cfg.lookEvery))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-l.wake:
			l.looked = time.Time{}
		case found := <-l.looks:
			l.see(found)
		case e := <-l.ends:
			l.end(e)
		}
		l.step(ctx)
	}
}

// see takes what a look has found. While none is to be had nothing is said: then a launch finds out, and says what is wrong.
func (l *loop) see(found look) {
	outdated := l.outdated
	l.looking, l.outdated = false, false
	if outdated {
		return
	}
	l.looked = l.cfg.Now()
	if l.blind = found.err != nil; l.blind {
		l.log.Debug().Err(found.err).Msg("templates cannot be looked at")
		return
	}
	l.infos = found.infos
	clear(l.changed)
}

// step brings on what is wanted, by what is known now.
func (l *loop) step(ctx context.Context) {
	now := l.cfg.Now()
	l.mu.Lock()
	wanted, peers := l.wanted, l.heard(now)
	l.mu.Unlock()
	maps.DeleteFunc(l.shunned, func(_ shun, until time.Time) bool { return now.After(until) })
	l.forget(wanted)
	said, every := make([]bus.HostTemplate, 0, len(wanted)), idleEvery
	if l.blind {
		wanted, every = nil, l.cfg.lookEvery
	}
	for _, w := range wanted {
		t := l.stand(ctx, w, peers, now)
		if t.State != bus.TemplateReady {
			every = l.cfg.lookEvery
		}
		said = append(said, t)
	}
	l.mu.Lock()
	l.said = order(said)
	wanted = l.wanted
	l.mu.Unlock()
	if !l.looking && len(wanted) > 0 && (l.looked.IsZero() || now.Sub(l.looked) >= every) {
		l.look(ctx, wanted)
	}
	if l.cfg.Listen != "" && now.Sub(l.cleaned) >= partAge/2 {
		l.cleaned = now
		l.dropOld(l.transfers)
	}
}

// forget ends what is not wanted any more.
func (l *loop) forget(wanted []Wanted) {
	names := map[string]bool{}
	for _, w := range wanted {
		names[w.Name] = true
	}
	for name, t := range l.transfers {
		if !names[name] {
			t.dropped = true
			t.cancel()
		}
	}
	maps.DeleteFunc(l.failures, func(name string, _ failure) bool { return !names[name] })
	maps.DeleteFunc(l.waits, func(name string, _ time.Time) bool { return !names[name] })
}

// stand is how the host has one template, which it begins to get where it can.
func (l *loop) stand(ctx context.Context, w Wanted, peers map[bus.HostID]peer, now time.Time) bus.HostTemplate {
	t := bus.HostTemplate{Name: w.Name, State: bus.TemplateMissing}
	info, there := l.infos[w.Name]
	switch on := l.transfers[w.Name]; {
	case on != nil:
		return l.coming(on, t)
	case l.infos == nil, l.changed[w.Name]:
		t.State = bus.TemplateUnknown
		return t
	case usable(info, there):
		delete(l.failures, w.Name)
		delete(l.came, w.Name)
		delete(l.waits, w.Name)
		t.State, t.SHA256, t.SizeBytes = bus.TemplateReady, info.SHA256, int64(info.Size) //nolint:gosec // of a file
		return t
	case l.cfg.Listen == "", there && info.Going:
		return t
	}
	if l.came[w.Name] { // else it would come again and again
		delete(l.came, w.Name)
		l.fail(w.Name, problem{reason: bus.TemplateNotMade, text: "it came, and the pool does not have it"}, now)
	}
	if f, failed := l.failures[w.Name]; failed && now.Before(f.until) {
		t.State, t.Reason, t.Text = bus.TemplateFailed, f.reason, bus.Clip(bus.Line(f.text), 300)
		return t
	}
	if now.Before(l.waits[w.Name]) {
		return l.coming(nil, t)
	}
	from, found, p := choose(w, peers, l.shunned)
	switch {
	case p != nil:
		l.fail(w.Name, *p, now)
		t.State, t.Reason, t.Text = bus.TemplateFailed, p.reason, bus.Clip(bus.Line(p.text), 300)
	case found && w.SHA256 == "" && now.Sub(l.firstMet()) < l.cfg.firstHeard: // others may have another one
		t.State = bus.TemplateUnknown
	case found:
		return l.coming(l.begin(ctx, w.Name, from, now), t)
	case now.Sub(l.began) < l.cfg.firstHeard:
		t.State = bus.TemplateUnknown
	}
	return t
}

func (l *loop) firstMet() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.met
}

// coming is a template on its way; without a transfer it waits for its turn.
func (l *loop) coming(on *transfer, t bus.HostTemplate) bus.HostTemplate {
	t.State = bus.TemplateFetching
	if on == nil {
		return t
	}
	t.SHA256, t.SizeBytes, t.DonePercent, t.From = on.source.digest, on.source.size, int(on.percent.Load()), on.server().Host
	return t
}

// begin begins to get a template, unless as many as may be are on their way, or another one that is the same file, which comes
// into the folder under the same name; then it is nil.
func (l *loop) begin(ctx context.Context, name string, from source, now time.Time) *transfer {
	if len(l.transfers) >= atOnce {
		return nil
	}
	for _, other := range l.transfers {
		if other.source.digest == from.digest {
			return nil
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	t := &transfer{name: name, source: from, shunned: maps.Clone(l.shunned), began: now, cancel: cancel, from: from.from[0]}
	l.transfers[name] = t
	if _, told := l.waits[name]; !told {
		l.tell(fetching(name, from))
	}
	l.running.Go(func() {
		l.ends <- ended{t, l.take(ctx, t)} // which has room for all transfers
	})
	return t
}

func fetching(name string, from source) Step {
	return Step{Template: name, Sentence: fmt.Sprintf("template %s is being fetched from %s: %d MiB, SHA-256 %s", name,
		from.from[0].Host, from.size>>20, from.digest)}
}

// end takes how a transfer has ended.
func (l *loop) end(e ended) {
	e.cancel()
	delete(l.transfers, e.name)
	if e.problem != nil && e.problem.busy {
		l.waits[e.name] = l.cfg.Now().Add(busyAfter)
		return
	}
	delete(l.waits, e.name)
	l.looked, l.outdated, l.changed[e.name] = time.Time{}, l.looking, true
	now := l.cfg.Now()
	if e.problem != nil {
		if e.dropped {
			return
		}
		if e.problem.reason == bus.TemplateBroken {
			for _, fingerprint := range e.sources() {
				l.shunned[shun{fingerprint, e.source.digest}] = now.Add(shunFor)
			}
		}
		l.fail(e.name, *e.problem, now)
		return
	}
	l.came[e.name] = true
	l.tell(Step{
		Template: e.name, Elapsed: now.Sub(e.began),
		Sentence: fmt.Sprintf("template %s is here: it came from %s, %d MiB, SHA-256 %s", e.name, e.server().Host,
			e.source.size>>20, e.source.digest),
	})
}

// fail notes that a template could not be had, and says so where that is news.
func (l *loop) fail(name string, p problem, now time.Time) {
	f := l.failures[name]
	if f.reason != p.reason {
		l.tell(Step{
			Template: name, Sentence: fmt.Sprintf("template %s could not be had from another host; it is tried again", name),
			Error: fmt.Sprintf("%s: %s", p.reason, bus.Line(p.text)),
		})
	}
	f.inRow++
	l.failures[name] = failure{p, f.inRow, now.Add(retryAfter(f.inRow))}
}

// look begins a look at the pool.
func (l *loop) look(ctx context.Context, wanted []Wanted) {
	var names []string
	for _, w := range wanted {
		names = append(names, w.Name)
	}
	l.looking = true
	l.running.Go(func() {
		infos, err := l.cfg.Pool.Look(ctx, names)
		l.looks <- look{infos, err}
	})
}
