package web

import (
	_ "embed"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

const maxBody = 16 << 10 // bytes, as of a request on the bus

// openapiFile describes the API, as of OpenAPI 3.1. A test makes it of the routes and of the types.
//
//go:embed openapi.json
var openapiFile []byte

// apiPath is before all routes of the API.
const apiPath = "/api/v1"

// access is who may use a route.
type access int

const (
	everybody access = iota
	readers
	operators
)

// route is one operation of the API. Its body and answer are examples of their types, from which the description is made.
type route struct {
	method, path, summary string
	who                   access
	query                 []parameter
	body                  any // nil: none
	answer                any
	serve                 func(w http.ResponseWriter, r *http.Request) (any, error)
}

// parameter is one of a route's query.
type parameter struct{ name, about string }

// routes are all of the API, in the order of its description.
func (s *Server) routes() []route {
	group := parameter{"group", "a group's name; default: all, or whichever has the VM"}
	since := []parameter{
		{"since", "from when: a time in RFC 3339, or how long ago, such as 90s or 24h; default: 1h"},
		{"limit", "how many of the newest, 1 to 5000; default: 200"},
	}
	get := func(path, summary string, answer any, serve func(*http.Request) (any, error), query ...parameter) route {
		return route{
			http.MethodGet, path, summary, readers, query, nil, answer,
			func(_ http.ResponseWriter, r *http.Request) (any, error) { return serve(r) },
		}
	}
	all := []route{
		get("/status", "The whole picture", bus.Status{}, s.status),
		get("/groups", "All groups, with their newest decision and samples", []bus.GroupStatus{}, s.groups),
		get("/groups/{group}", "One group", bus.GroupStatus{}, s.group),
		get("/groups/{group}/decision", "Its newest decision", bus.Decision{}, s.decision),
		get("/groups/{group}/explain", "Why it has the size it has, and what would change it", nil, s.explain),
		get("/groups/{group}/replay", "What policies would have made of its last 24 hours, which takes seconds", Replay{}, s.replay),
		get("/groups/{group}/past", "Its size and CPU over the last hour", []model.Point{}, s.past),
		get("/groups/{group}/events", "What happened to it, the oldest first", []Happening{}, s.events, since...),
		get("/events", "What happened to all groups", []Happening{}, s.events, since...),
		get("/vms", "All VMs, or those of a group", []PlacedVM{}, s.vms, group),
		get("/vms/{vm}", "One VM", PlacedVM{}, s.vm, group),
		get("/hosts", "The hosts, and what room they have", []HostState{}, s.hosts),
		get("/templates", "The templates of the host that this server's process reaches", []TemplateState{}, s.listTemplates),
		{
			http.MethodGet, "/session", "Who this caller is, and what it may do", everybody, nil, nil,
			Caller{},
			func(_ http.ResponseWriter, r *http.Request) (any, error) { return s.callerOf(r) },
		},
		{http.MethodPost, "/session", "Log a browser in with a token", everybody, nil, Login{}, Caller{}, s.login},
		{http.MethodDelete, "/session", "Log it out", everybody, nil, nil, Caller{}, s.logout},
	}
	return append(all, s.actions()...)
}

// api answers all routes below their path.
func (s *Server) api(mux *http.ServeMux) {
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+apiPath+r.path, func(w http.ResponseWriter, req *http.Request) {
			answer, err := s.answer(r, w, req)
			if err != nil {
				problemOf(err).write(w)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			_ = json.NewEncoder(w).Encode(answer)
		})
	}
	mux.HandleFunc("GET "+apiPath+"/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openapiFile)
	})
	mux.HandleFunc(apiPath+"/", func(w http.ResponseWriter, req *http.Request) {
		if methods := allowed(mux, req); len(methods) > 0 {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			problem(ReasonMethod, "found %s, want %s", bus.Clip(req.Method, 40), strings.Join(methods, " or ")).write(w)
			return
		}
		problem(ReasonUnknown, "there is no %s %s: %s/openapi.json has all there is", req.Method, bus.Clip(req.URL.Path, 80),
			apiPath).write(w)
	})
}

// allowed are the methods by which there is something of the API at a request's path.
func allowed(mux *http.ServeMux, r *http.Request) (methods []string) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" && pattern != apiPath+"/" {
			methods = append(methods, method)
		}
	}
	return methods
}

func (s *Server) answer(r route, w http.ResponseWriter, req *http.Request) (any, error) {
	if req.Method != http.MethodGet {
		if err := s.checkOrigin(req); err != nil {
			return nil, err
		}
	}
	if r.who == readers {
		if err := s.mayRead(req); err != nil {
			return nil, err
		}
	}
	return r.serve(w, req)
}

// checkOrigin refuses what a page of another origin has sent, and which does not only read.
func (s *Server) checkOrigin(r *http.Request) error {
	if err := s.origins.Check(r); err != nil {
		return problem(ReasonForbidden, "a page of another origin has sent this: %s", err)
	}
	return nil
}

// decode reads a body, which must be JSON.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return problem(ReasonMalformed, "Content-Type: found %q, want application/json", bus.Clip(r.Header.Get("Content-Type"), 80))
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return err //nolint:wrapcheck // problemOf knows it
	}
	if err := bus.CheckShape(data); err != nil {
		return problem(ReasonMalformed, "body: %s", err)
	}
	return decodeBody(data, into)
}
