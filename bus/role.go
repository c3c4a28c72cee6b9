package bus

import (
	"fmt"
	"slices"
)

// Role is what a client of the bus may do. Each stage has the role of its name.
type Role string

// The roles of the embedded server.
const (
	RoleCollector Role = "collector"
	RoleDecider   Role = "decider"
	RoleActuator  Role = "actuator"
	RoleDashboard Role = "dashboard"
	RoleOperator  Role = "operator" // a person's commands: requests, and the history
	RoleMetric    Role = "metric"   // a publisher of metrics that groups scale on
	RoleWake      Role = "wake"     // who may wake groups that have no VM, such as a gateway in front of them
	RoleMonitor   Role = "monitor"  // a load balancer or a monitoring system, which marks VMs as unhealthy
	RoleTap       Role = "tap"      // a client on this machine without credentials
)

// Roles are all roles, in the order of the table in docs/design.md.
func Roles() []Role {
	return []Role{RoleCollector, RoleDecider, RoleActuator, RoleDashboard, RoleOperator, RoleMetric, RoleWake, RoleMonitor, RoleTap}
}

// Permissions are the subjects that a role may use; everything else is denied.
type Permissions struct {
	Publish   []string
	Subscribe []string
}

// The requests that change nothing, those that change something, and those by which services are found.
var (
	hookRequests  = []string{"vmscaler.ctl." + VerbHook}
	writeRequests = []string{
		"vmscaler.ctl.pause",
		"vmscaler.ctl.resume",
		"vmscaler.ctl.dry-run",
		"vmscaler.ctl.scale",
		"vmscaler.ctl.set",
		"vmscaler.ctl.reset",
		"vmscaler.ctl." + VerbSchedule,
		"vmscaler.ctl." + VerbLaunch,
		"vmscaler.ctl." + VerbForget,
		"vmscaler.ctl." + VerbHost,
		"vmscaler.ctl." + VerbRefresh,
	}
	readRequests = []string{"vmscaler.ctl.status", "vmscaler.ctl.explain", "vmscaler.ctl." + VerbForecast}
	discovery    = []string{
		"$SRV.PING", "$SRV.PING.>", "$SRV.INFO", "$SRV.INFO.>", "$SRV.STATS", "$SRV.STATS.>",
	}
	watching = []string{AllSamples, AllDecisions, AllEvents, AllHealth}
)

// Permissions are what the embedded server lets a role do. A stage that publishes nothing needs no inbox; those that
// send requests have a private one, as anyone who may subscribe to _INBOX.> reads all replies. No role may use JetStream's
// API beyond reading the history.
func (r Role) Permissions() Permissions {
	switch r {
	case RoleCollector:
		return Permissions{
			Publish:   []string{AllSamples, "vmscaler.health.collector.*", RoleOperator.InboxPrefix() + ".>"},
			Subscribe: []string{ApplySubject},
		}
	case RoleDecider:
		return Permissions{
			// Its answers may go to inboxes only. NATS could allow it to answer each request wherever that wants the
			// answer; then a requester could make the decider publish anywhere, such as to JetStream's API.
			Publish: []string{
				AllDecisions, AllDemand, "vmscaler.metric.*." + PrometheusMetric,
				"vmscaler.health.decider.*", "vmscaler.lifecycle.*._." + string(EventControl),
				"vmscaler.lifecycle.*._." + string(EventRefresh),
				"vmscaler.lifecycle.*._." + string(EventHost), "_INBOX.>",
				"_VMSCALER.>",
				"$KV." + StateBucket + ".>", "$JS.API.STREAM.INFO.KV_" + StateBucket, "$JS.API.DIRECT.GET.KV_" + StateBucket + ".>",
				"$KV." + LockBucket + ".>", "$JS.API.STREAM.INFO.KV_" + LockBucket, "$JS.API.DIRECT.GET.KV_" + LockBucket + ".>",
			},
			Subscribe: slices.Concat(
				[]string{AllSamples, AllDecisions, AllHealth, AllMetrics, AllLoads, AllWakes, ApplySubject, r.InboxPrefix() + ".>"},
				readRequests,
				writeRequests,
				vmRequests(VMVerbs()...),
				groupRequests("*", GroupVerbs()...),
				discovery,
			),
		}
	case RoleActuator:
		return Permissions{
			Publish: []string{AllEvents, "vmscaler.health.actuator.*", AllVictims, AllLoads, RoleOperator.InboxPrefix() + ".>"},
			Subscribe: slices.Concat(
				[]string{AllDecisions, AllSamples, ActuatorHealth, ApplySubject, r.InboxPrefix() + ".>", VictimsInbox + ".>"},
				hookRequests,
			),
		}
	case RoleDashboard:
		return Permissions{Subscribe: watching}
	case RoleOperator:
		return Permissions{
			Publish: slices.Concat(
				[]string{"vmscaler.ctl.>", AllMetrics, AllWakes, VictimsInbox + ".>"},
				discovery,
				reading(HistoryStream),
				reading(DemandStream),
			),
			Subscribe: slices.Concat(watching, []string{AllVictims, r.InboxPrefix() + ".>"}),
		}
	case RoleMetric:
		return Permissions{Publish: []string{AllMetrics}}
	case RoleWake:
		return Permissions{Publish: []string{AllWakes}, Subscribe: []string{r.InboxPrefix() + ".>"}}
	case RoleMonitor:
		return Permissions{
			Publish:   append(vmRequests(VMUnhealthy), RequestSubject(string(VMUnhealthy), "*")),
			Subscribe: slices.Concat(watching, []string{r.InboxPrefix() + ".>"}),
		}
	case RoleTap:
		return Permissions{
			Publish: slices.Concat(readRequests, discovery),
			// vmscaler.> as people type it; see denied.
			Subscribe: []string{"vmscaler.>", "_INBOX.>"},
		}
	case RoleAgent: // each has its own, see AgentPermissions
	}
	return Permissions{}
}

// Limitable reports whether a role can be limited to some groups: its subjects by which something is changed can name one.
func (r Role) Limitable() bool {
	return slices.Contains([]Role{RoleOperator, RoleMetric, RoleWake, RoleMonitor}, r)
}

// PermissionsFor are what the embedded server lets a role do that is limited to some groups: to change these and no other, nor
// what is of no group, such as a host. It sees what the role sees.
func (r Role) PermissionsFor(groups []string) (Permissions, error) {
	if !r.Limitable() {
		return Permissions{}, fmt.Errorf("role %s cannot be limited to groups", r)
	}
	p := Permissions{}
	if r == RoleOperator {
		p.Publish = slices.Concat(
			[]string{VictimsInbox + ".>"}, readRequests, discovery, reading(HistoryStream), reading(DemandStream),
		)
	}
	if r == RoleOperator || r == RoleMonitor {
		p.Subscribe = slices.Clone(watching)
	}
	if r != RoleMetric {
		p.Subscribe = append(p.Subscribe, r.InboxPrefix()+".>")
	}
	for _, g := range groups {
		if err := CheckGroupName(g); err != nil {
			return Permissions{}, err
		}
		if r == RoleOperator {
			p.Publish = append(p.Publish, groupRequests(g, GroupVerbs()...)...)
			p.Subscribe = append(p.Subscribe, "vmscaler.victims."+Token(g)+".>")
		}
		if r == RoleMonitor {
			p.Publish = append(p.Publish, RequestSubject(string(VMUnhealthy), g))
		}
		if r == RoleOperator || r == RoleMetric {
			p.Publish = append(p.Publish, "vmscaler.metric."+Token(g)+".>")
		}
		if r == RoleOperator || r == RoleWake {
			p.Publish = append(p.Publish, WakeSubject(g))
		}
	}
	return p, nil
}

// groupRequests are the subjects of requests for one group.
func groupRequests(group string, verbs ...string) (subjects []string) {
	for _, v := range verbs {
		subjects = append(subjects, RequestSubject(v, group))
	}
	return subjects
}

// vmRequests are the subjects of requests for one VM.
func vmRequests(verbs ...VMVerb) (subjects []string) {
	for _, v := range verbs {
		subjects = append(subjects, "vmscaler.ctl."+string(v))
	}
	return subjects
}

// reading are the requests by which a stream is read.
func reading(stream string) []string {
	return []string{
		"$JS.API.STREAM.INFO." + stream,
		"$JS.API.CONSUMER.CREATE." + stream + ".>",
		"$JS.API.CONSUMER.INFO." + stream + ".>",
		"$JS.API.CONSUMER.MSG.NEXT." + stream + ".>",
		"$JS.API.CONSUMER.DELETE." + stream + ".>",
	}
}

// InboxPrefix is below which subject a role receives replies. Only a tap uses NATS's own, which every tap can read.
func (r Role) InboxPrefix() string {
	if r == RoleTap {
		return "_INBOX"
	}
	return "_VMSCALER." + string(r)
}

// Trial is a command of the nats tool, without its name, that the role may run, to test its credentials. Roles that receive
// nothing only measure the round trip to the server.
func (r Role) Trial() []string {
	for _, subject := range r.Permissions().Subscribe {
		if subject == AllDecisions || subject == "vmscaler.>" {
			return []string{"sub", AllDecisions}
		}
	}
	return []string{"rtt"}
}

// NeedsCredentials reports whether a role can do nothing with a tap's permissions.
func (r Role) NeedsCredentials() bool { return r != RoleTap && r != RoleDashboard }
