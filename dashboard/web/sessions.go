package web

import (
	"crypto/rand"
	"sync"
	"time"
)

const (
	sessionsAtMost = 256
	sessionLasts   = 12 * time.Hour
)

// session is a browser that has shown a token.
type session struct {
	token Token
	csrf  string // what a page of ours sends along with what changes something, and no other page can know
	until time.Time
}

// sessions are by what is in the browser's cookie. They end with the process.
type sessions struct {
	mu  sync.Mutex
	all map[string]session
}

// begin makes one; of too many the one that ends first goes.
func (s *sessions) begin(token Token, now time.Time) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]session{}
	}
	first := ""
	for id, one := range s.all {
		if !now.Before(one.until) {
			delete(s.all, id)
		} else if first == "" || one.until.Before(s.all[first].until) {
			first = id
		}
	}
	if len(s.all) >= sessionsAtMost {
		delete(s.all, first)
	}
	id = rand.Text()
	s.all[id] = session{token, rand.Text(), now.Add(sessionLasts)}
	return id
}

func (s *sessions) find(id string, now time.Time) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, is := s.all[id]
	return found, is && now.Before(found.until)
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, id)
}
