package web

import (
	"fmt"
	"net/http"
	"strings"
)

// Caller is who sends a request.
type Caller struct {
	Name string `json:"name"` // of the token; "": none was shown
	Role Role   `json:"role"` // "": it may do nothing
	// CSRF is to be sent back in the header X-Csrf-Token, with what changes something; "" where the caller sends the token itself.
	CSRF string `json:"csrf,omitempty"`
	// Actions reports whether the server can do what changes something; WhyNot why it cannot.
	Actions bool   `json:"actions"`
	WhyNot  string `json:"why_not,omitempty"`
}

// csrfHeader repeats what only a page of ours knows.
const csrfHeader = "X-Csrf-Token"

// callerOf is who sends a request. A token that is not valid is an error also where none is needed.
func (s *Server) callerOf(r *http.Request) (Caller, error) {
	var c Caller
	if s.openReads() {
		c.Role = RoleWatch
	}
	if b := s.bus.Load(); b == nil {
		c.WhyNot = *s.waiting.Load()
	} else if b.Operator == nil {
		c.WhyNot = "this server has no operator's credentials for the bus: " + b.ReadOnly
	} else {
		c.Actions = true
	}
	if shown := r.Header.Get("Authorization"); shown != "" {
		bearer, is := strings.CutPrefix(shown, "Bearer ")
		token, found := s.c.Tokens.Find(bearer)
		if !is || !found {
			return Caller{}, problem(ReasonNoToken, "the token is not valid, or was revoked")
		}
		c.Name, c.Role = token.Name, token.Role
		return c, nil
	}
	if one, found := s.sessionOf(r); found {
		c.Name, c.Role, c.CSRF = one.token.Name, one.token.Role, one.csrf
	}
	return c, nil
}

// sessionOf is a browser's session whose token was not revoked since.
func (s *Server) sessionOf(r *http.Request) (session, bool) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return session{}, false
	}
	one, found := s.sessions.find(cookie.Value, s.c.Now())
	return one, found && s.c.Tokens.Still(one.token)
}

// cookieName has the port, as browsers give a host's cookies to all its ports.
func cookieName(r *http.Request) string {
	_, port, _ := strings.Cut(r.Host[strings.LastIndexByte(r.Host, ']')+1:], ":")
	return "vmscaler-session" + port
}

// openReads reports whether everybody who reaches the server may read.
func (s *Server) openReads() bool { return s.loopback.Load() && !s.c.Closed }

// mayRead refuses who may not read.
func (s *Server) mayRead(r *http.Request) error {
	c, err := s.callerOf(r)
	if err == nil && c.Role == "" {
		err = problem(ReasonNoToken, "this needs a token: `vmscaler web token --role watch` makes one")
	}
	return err
}

// mayAct refuses who may not change anything, and returns who does.
func (s *Server) mayAct(r *http.Request) (Caller, error) {
	c, err := s.callerOf(r)
	switch {
	case err != nil:
		return c, err
	case c.Name == "":
		return c, problem(ReasonNoToken, "this needs a token of the role operator: `vmscaler web token --role operator` makes one")
	case c.Role != RoleOperator:
		return c, problem(ReasonForbidden, "token %s: found the role %s, want operator", c.Name, c.Role)
	case c.CSRF != "" && r.Header.Get(csrfHeader) != c.CSRF:
		return c, problem(ReasonForbidden, "%s: found %q, want that of the session", csrfHeader, r.Header.Get(csrfHeader))
	case !c.Actions:
		return c, problem(ReasonReadOnly, "%s", c.WhyNot)
	}
	return c, nil
}

// login begins a session of a browser, for a token that it shows in the body.
func (s *Server) login(w http.ResponseWriter, r *http.Request) (any, error) {
	var body struct {
		Token string `json:"token"`
	}
	if err := decode(w, r, &body); err != nil {
		return nil, err
	}
	token, found := s.c.Tokens.Find(body.Token)
	if !found {
		return nil, problem(ReasonNoToken, "the token is not valid, or was revoked")
	}
	id := s.sessions.begin(token, s.c.Now())
	http.SetCookie(w, cookie(r, id, int(sessionLasts.Seconds())))
	r.AddCookie(cookie(r, id, 0))
	return s.callerOf(r)
}

// logout ends a session.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) (any, error) {
	if one, found := s.sessionOf(r); found && r.Header.Get(csrfHeader) != one.csrf {
		return nil, problem(ReasonForbidden, "%s is not that of the session", csrfHeader)
	}
	if c, err := r.Cookie(cookieName(r)); err == nil {
		s.sessions.end(c.Value)
	}
	http.SetCookie(w, cookie(r, "", -1))
	return Caller{}, nil
}

func cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: r.TLS != nil,
		SameSite: http.SameSiteStrictMode,
	}
}

// by is who asks, for the record.
func (c Caller) by() string { return fmt.Sprintf("%s (web)", c.Name) }
