package web

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// slowAfter is for how long a client may leave an answer unread before another may have its place.
const slowAfter = 2 * time.Second

// connections are those that are open, at most so many. Where one more comes, the oldest goes that has nothing asked for, or does
// not read its answer: who opens many and never completes a request, or an answer, keeps no other one out.
type connections struct {
	most int
	now  func() time.Time

	mu    sync.Mutex
	count int // so far, which orders them
	open  map[net.Conn]*connection
}

// connection is one that is open.
type connection struct {
	from    string // its address, without the port
	number  int
	serving int       // requests that are complete and not answered yet
	writing time.Time // since when a piece of an answer is being taken; zero: none is
}

// spare reports whether it may go at a moment where there are too many.
func (c *connection) spare(now time.Time) bool {
	return c.serving == 0 || !c.writing.IsZero() && now.Sub(c.writing) >= slowAfter
}

type connectionKey struct{}

func newConnections(most int) *connections {
	return &connections{most: most, now: time.Now, open: map[net.Conn]*connection{}}
}

// add takes a new one, and closes another or itself where there are too many. It is a [http.Server]'s ConnContext.
func (c *connections) add(ctx context.Context, conn net.Conn) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	added := &connection{from: conn.RemoteAddr().String(), number: c.count}
	if host, _, err := net.SplitHostPort(added.from); err == nil {
		added.from = host
	}
	c.open[conn] = added
	if len(c.open) > c.most {
		victim := c.victim()
		delete(c.open, victim)
		if secure, is := victim.(*tls.Conn); is { // which would wait seconds to say goodbye
			victim = secure.NetConn()
		}
		_ = victim.Close()
	}
	return context.WithValue(ctx, connectionKey{}, added)
}

// victim is the one that goes: the oldest that has nothing asked for or does not read, of the address that has most of these.
func (c *connections) victim() (victim net.Conn) {
	spare, now := map[string]int{}, c.now()
	for _, open := range c.open {
		if open.spare(now) {
			spare[open.from]++
		}
	}
	for conn, open := range c.open {
		if !open.spare(now) {
			continue
		}
		chosen := c.open[victim]
		if chosen == nil || cmp.Or(spare[chosen.from]-spare[open.from], open.number-chosen.number) < 0 {
			victim = conn
		}
	}
	return victim // there is one: the new one has asked for nothing yet
}

// changed forgets those that are closed. It is a [http.Server]'s ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, conn)
	}
}

// serve keeps connections while their requests are answered: those with a body once all of it was read.
func (c *connections) serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open, is := r.Context().Value(connectionKey{}).(*connection)
		if !is {
			next.ServeHTTP(w, r)
			return
		}
		complete := false
		begin := func() {
			if !complete {
				complete = true
				c.served(open, 1)
			}
		}
		defer func() {
			if complete {
				c.served(open, -1)
			}
		}()
		if r.ContentLength == 0 {
			begin()
		} else {
			with := *r
			with.Body, r = &wholeBody{r.Body, begin}, &with
		}
		next.ServeHTTP(&takenWriter{w, c, open}, r)
	})
}

// takenWriter is an answer, and notes for how long the client takes for each piece of it.
type takenWriter struct {
	http.ResponseWriter
	all  *connections
	open *connection
}

// Unwrap is for [http.ResponseController].
func (w *takenWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *takenWriter) Write(p []byte) (int, error) {
	w.all.writes(w.open, w.all.now())
	defer w.all.writes(w.open, time.Time{})
	return w.ResponseWriter.Write(p)
}

// wholeBody is that of a request, and tells when all of it was read.
type wholeBody struct {
	io.ReadCloser
	complete func()
}

func (b *wholeBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.complete()
	}
	return n, err
}

func (c *connections) writes(open *connection, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	open.writing = since
}

func (c *connections) served(open *connection, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	open.serving += n
}
