package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/decider/policy"
	"github.com/vmscaler/vmscaler/decider/prometheus"
)

// Query is what a group's query of Prometheus has answered.
type Query struct {
	Index int // of the group in the config
	Group string
	Asked bus.Prometheus
	Value float64
	Err   error
}

// refused reports whether the server is there and the query is to be changed.
func (q Query) refused() bool {
	var refused prometheus.RefusedError
	return errors.As(q.Err, &refused)
}

// AskQueries asks the queries that groups follow, once each.
func AskQueries(ctx context.Context, groups []bus.Group) (asked []Query) {
	for i, g := range groups {
		if !policy.FollowsPrometheus(g.Policy) {
			continue
		}
		q := Query{Index: i, Group: g.Name, Asked: g.Policy.Prometheus}
		q.Value, q.Err = prometheus.Ask(ctx, q.Asked)
		asked = append(asked, q)
	}
	return asked
}

// QueryProblems are the queries without an answer, at their fields.
func QueryProblems(ctx context.Context, cfg config.Config) (problems config.Problems) {
	for _, q := range AskQueries(ctx, cfg.Groups) {
		field := fmt.Sprintf("groups[%d].policy.prometheus.", q.Index)
		switch {
		case q.Err == nil:
		case q.refused():
			problems = append(problems, cfg.Problem(field+"query", fmt.Sprintf("%q (%v)", bus.Clip(q.Asked.Query, 200), q.Err),
				"a query whose answer is one number"))
		default:
			problems = append(problems, cfg.Problem(field+"url", fmt.Sprintf("%s (%v)", q.Asked.URL, q.Err), "a Prometheus that answers"))
		}
	}
	return problems
}

// queries are problems where what is asked is wrong. A server that does not answer may still come.
func (f Facts) queries() (found []Finding) {
	for _, q := range f.Queries {
		const area = "prometheus"
		switch {
		case q.Err == nil:
			found = append(found, good(area, "the query of group %s answers %.4g", q.Group, q.Value))
		case q.refused():
			found = append(found, problem(area, "change policy.prometheus.query until it answers one number",
				"the query of group %s says nothing, and the group does not scale on it: %v", q.Group, q.Err))
		default:
			found = append(found, warning(area, "start Prometheus, or change what is under policy.prometheus",
				"group %s does not scale on its query as long as Prometheus does not answer: %v", q.Group, q.Err))
		}
	}
	return found
}
