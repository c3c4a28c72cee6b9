package dashboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/dashboard/internal/feed"
)

// Config is what the dashboard draws on and how.
type Config struct {
	// Out is where it draws: a terminal (an *os.File) unless Plain.
	Out io.Writer
	// In is the terminal whose keys it reads; nil: none. Not used when Plain.
	In *os.File
	// Plain is for where there is no terminal: one line per event and per change.
	Plain bool
	Style Style
	// Now is the clock; its location is the one that times are shown in. Nil is time.Now.
	Now func() time.Time
	// Refresh is the shortest time between two frames; 0 is 250 ms.
	Refresh time.Duration
	// Title stands at the top, "" is "vmscaler"; Footer at the bottom, such as the bus's URL and the log file.
	Title  string
	Footer string
	// Quit is called when the user asks to quit; it should end Run's context. Nil: 'q' does nothing.
	Quit func()
	// Operator changes what a person asks for; nil: nothing can be changed from here, and ReadOnly says why.
	Operator Operator
	ReadOnly string
	// Explain puts a decision into words, a line each; nil: only its sentence is shown.
	Explain func(bus.Decision) []string
}

// DefaultRefresh is the usual shortest time between two frames.
const DefaultRefresh = 250 * time.Millisecond

// Dashboard is the stage that shows. It publishes nothing.
type Dashboard struct {
	cfg  Config
	conn *client.Conn
	log  zerolog.Logger

	dropped atomic.Uint64

	// What tests replace.
	ticker  func(time.Duration) (ticks <-chan time.Time, stop func())
	signals func(chan<- os.Signal) (stop func())
}

// WantsPlain reports whether there is no terminal on out that a full-screen display can be drawn on.
func WantsPlain(out *os.File, getenv func(string) string) bool {
	return getenv("TERM") == "dumb" || !term.IsTerminal(int(out.Fd()))
}

// New checks the configuration. The connection stays the caller's, who closes it after Run has returned; that
// ends the subscriptions.
func New(cfg Config, conn *client.Conn, log zerolog.Logger) (*Dashboard, error) {
	var problems []error
	if conn == nil {
		problems = append(problems, errors.New("no connection to the bus"))
	}
	switch out := cfg.Out.(type) {
	case nil:
		problems = append(problems, errors.New("out: nowhere to draw"))
	case *os.File:
		if !cfg.Plain && !term.IsTerminal(int(out.Fd())) {
			problems = append(problems, fmt.Errorf("out: %s is not a terminal; use plain", out.Name()))
		}
	default:
		if !cfg.Plain {
			problems = append(problems, fmt.Errorf("out: %T is not a terminal; use plain", out))
		}
	}
	if cfg.Refresh < 0 {
		problems = append(problems, fmt.Errorf("refresh: %s: want more than 0", cfg.Refresh))
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("dashboard: %w", errors.Join(problems...))
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Refresh == 0 {
		cfg.Refresh = DefaultRefresh
	}
	if cfg.Title == "" {
		cfg.Title = "vmscaler"
	}
	return &Dashboard{cfg: cfg, conn: conn, log: log, ticker: newTicker, signals: notify}, nil
}

// Run subscribes and draws until ctx ends. It gives the terminal back on every way out of it, a panic included;
// for what ends the process elsewhere there is StartWatchdog.
func (d *Dashboard) Run(ctx context.Context) error {
	messages := feed.New()
	if err := messages.Subscribe(d.conn); err != nil {
		return fmt.Errorf("dashboard: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	inbox := make(chan any, 1024)
	wg.Go(func() { messages.Pump(ctx, inbox, &d.dropped) })

	content := NewContent(d.cfg.Now())
	content.Title, content.Footer, content.Explain = d.cfg.Title, d.cfg.Footer, d.cfg.Explain
	if d.cfg.Operator == nil {
		content.ReadOnly = cmp.Or(d.cfg.ReadOnly, "it has no credentials of an operator")
	}
	ticks, stop := d.ticker(d.cfg.Refresh)
	defer stop()
	var err error
	if d.cfg.Plain {
		err = d.runPlain(ctx, content, inbox, ticks)
	} else {
		err = d.runScreen(ctx, content, inbox, ticks)
	}
	if err != nil {
		return fmt.Errorf("dashboard: %w", err)
	}
	return nil
}

func (d *Dashboard) runScreen(ctx context.Context, content *Content, inbox <-chan any, ticks <-chan time.Time) (err error) {
	out, ok := d.cfg.Out.(*os.File)
	if !ok {
		return fmt.Errorf("out: %T is not a terminal", d.cfg.Out)
	}
	signals := make(chan os.Signal, 4)
	defer d.signals(signals)()
	s, err := openScreen(out, d.cfg.In)
	if err != nil {
		return err
	}
	defer func() {
		// Deferred, so that it also comes before a panic's message.
		if restoreErr := s.restore(); err == nil {
			err = restoreErr
		}
	}()
	keys, stopKeys, err := readKeys(d.cfg.In)
	if err != nil {
		return err
	}
	defer stopKeys()

	l := &live{d: d, s: s, content: content, dirty: true, answers: make(chan note, 1), past: make(chan []any, 1)}
	defer l.changes.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return l.run(ctx, inputs{inbox, ticks, signals, keys})
}

func (d *Dashboard) runPlain(ctx context.Context, content *Content, inbox <-chan any, ticks <-chan time.Time) error {
	p := newPlain(content)
	write := func(lines []string) error {
		for _, l := range lines {
			if _, err := io.WriteString(d.cfg.Out, l+"\n"); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		}
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case message := <-inbox:
			if err := write(p.message(message, d.cfg.Now())); err != nil {
				return err
			}
		case <-ticks:
			content.Link, content.Dropped = d.link(), d.dropped.Load()
			if err := write(p.tick(d.cfg.Now())); err != nil {
				return err
			}
		}
	}
}

func (d *Dashboard) link() Link {
	url, connected := d.conn.Connected()
	if url == "" {
		url = "the bus"
	}
	link := Link{URL: url, Connected: connected}
	if why := d.conn.Trouble(); !connected && why != nil {
		link.Why = why.Error()
	}
	return link
}

func newTicker(every time.Duration) (<-chan time.Time, func()) {
	t := time.NewTicker(every)
	return t.C, t.Stop
}

func notify(c chan<- os.Signal) func() {
	signal.Notify(c, unix.SIGWINCH, unix.SIGCONT)
	return func() { signal.Stop(c) }
}
