package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	streamsAtMost = 32
	viewEvery     = time.Second
	viewWithin    = 10 * time.Second // for who reads what is sent; one that is slower is cut off
)

// views keeps the newest view, which all streams send.
type views struct {
	mu   sync.Mutex
	at   time.Time
	data []byte
}

// current is a view that is not older than the time between two.
func (v *views) current(now time.Time, view func() View) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.data == nil || now.Sub(v.at) >= viewEvery/2 || now.Before(v.at) {
		data, err := json.Marshal(view())
		if err != nil {
			data = []byte(`{}`) // no value of the view does that
		}
		v.at, v.data = now, data
	}
	return v.data
}

// stream sends the page what it shows, again and again (server-sent events).
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		problem(ReasonBusy, "%d pages are open already", streamsAtMost).write(w)
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // else net/http ends the request with it
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	next := time.NewTicker(viewEvery)
	defer next.Stop()
	for {
		_ = control.SetWriteDeadline(time.Now().Add(viewWithin))
		if _, err := fmt.Fprintf(w, "data: %s\n\n", s.views.current(s.c.Now(), s.view)); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-next.C:
		}
		if s.mayRead(r) != nil {
			return // its token was revoked, or it has logged out
		}
	}
}
