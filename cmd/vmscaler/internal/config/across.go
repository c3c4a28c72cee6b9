package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// config decodes the whole file, and then checks what takes more than one field.
func (d *decoder) config(c *Config, body ast.Node) {
	c.BusListen = "" // its default depends on the URL
	configFields(c).decode(d, "", body)

	if c.BusURL == "" && c.BusListen == "" {
		c.BusListen = bus.DefaultListen
	}
	for _, p := range c.busProblems() {
		if !d.bad(p.Field) {
			d.problem(p.Field, p.Found, p.Allowed)
		}
	}
	d.targets(c)
	if !d.has("groups") || d.bad("groups") {
		return
	}
	first := map[string]string{} // a group's name -> the field that has it
	for i, g := range c.Groups {
		path := fmt.Sprintf("groups[%d]", i)
		d.group(path, g)
		if other, again := first[g.Name]; again && g.Name != "" {
			d.problem(path+".name", g.Name, fmt.Sprintf("a name of its own: line %d has this one", d.lines[other].line))
		} else {
			first[g.Name] = path + ".name"
		}
	}
	for _, p := range c.digestProblems() {
		if !d.bad(p.Field) {
			d.problem(p.Field, p.Found, p.Allowed)
		}
	}
}

// group checks what takes more than one of a group's fields.
func (d *decoder) group(path string, g bus.Group) {
	if d.bad(path) {
		return // not a group at all
	}
	if !d.has(path + ".name") {
		d.problem(path+".name", "nothing", wantGroupName)
	}
	d.order(path, g.Min <= g.Max, bound{"min", "at most"}, bound{"max", "at least"}, groupFields(&g))
	d.order(path+".policy", g.Policy.LowerPercent < g.Policy.UpperPercent,
		bound{"lower", "less than"}, bound{"upper", "more than"}, policyFields(&g.Policy))
	d.order(path, g.ReadyWhen != bus.ReadyUptime || g.ReadyAfter < g.BootTimeout,
		bound{"ready_after", "less than"}, bound{"boot_timeout", "more than"}, groupFields(&g))
	d.order(path, g.MaxLifetime == 0 || g.MaxLifetime > g.BootTimeout,
		bound{"boot_timeout", "less than"}, bound{"max_lifetime", "more than"}, groupFields(&g))
	d.maintenance(path+".maintenance", g.Maintenance)
	d.policy(path+".policy", g.Policy)
	d.signal(path+".policy", g)
	d.disks(path+".disks", g.Disks)
	d.stateful(path, g)
	d.seed(path+".cloud_init", g)
	d.checks(path+".checks", g)
	d.nics(path, g)
	d.hardware(path, g.Hardware)
	if r := g.Refresh; bus.CheckUpdateActions(r.MinimalAction, r.MostDisruptive) != nil {
		d.problem(path+".refresh.most_disruptive", string(r.MostDisruptive), "it together with minimal_action: restart")
	}
	d.schedule(path, g)
	d.warmPool(path+".warm_pool", g)
	d.hooks(path+".hooks", g.Hooks)
	d.isolation(path, g)
	switch fences := g.HostLoss == bus.LossReplaceAfterFence; {
	case d.bad(path + ".on_host_loss"), d.bad(path + ".fence"), d.bad(path + ".fence.command"):
	case fences && g.Fence.Command == "":
		d.problem(path+".on_host_loss", string(g.HostLoss), "it together with a fence.command")
	case !fences && g.Fence.Command != "":
		d.problem(path+".fence.command", clip(g.Fence.Command), "none without on_host_loss: replace-after-fence")
	}
	if g.ReadyWhen == bus.ReadyLease && g.Network == bus.UserNetwork && len(g.Hardware.NICs) == 0 {
		d.problem(path+".ready_when", string(g.ReadyWhen), "agent or uptime with the network user, which has no leases")
	}
}

// isolation checks that a host does not end its VMs before the others take it for lost.
func (d *decoder) isolation(path string, g bus.Group) {
	at := path + ".isolate_after"
	if g.IsolateAfter == 0 || g.IsolateAfter >= g.LeastIsolation() || d.bad(at) || d.bad(path+".lost_after") ||
		d.bad(path+".policy.interval") {
		return
	}
	d.problem(at, g.IsolateAfter.String(), fmt.Sprintf(
		"never, or %s at least: a host is lost after %s (lost_after), another decider may need %s to lead, and three of "+
			"policy.interval (%s) go by until all of that shows",
		g.LeastIsolation(), g.LostAfter, bus.ElectionTakes, g.Policy.Interval))
}

// maintenance checks what takes more than one field of the maintenance.
func (d *decoder) maintenance(path string, m bus.Maintenance) {
	none := m.MinHealthyPercent == 100 && m.MaxHealthyPercent == 100
	d.order(
		path,
		!none,
		bound{"min_healthy", "less than 100 with"},
		bound{"max_healthy", "more than 100 with"},
		maintenanceFields(&m),
	)
	d.order(path, m.MaxHealthyPercent-m.MinHealthyPercent <= 100,
		bound{"min_healthy", "at most 100 less than"}, bound{"max_healthy", "at most 100 more than"}, maintenanceFields(&m))
}

// schedule checks what takes more than one field of an action.
func (d *decoder) schedule(path string, g bus.Group) {
	for i, a := range g.Schedule {
		at := fmt.Sprintf("%s.schedule[%d]", path, i)
		bad := func(keys ...string) bool {
			return slices.ContainsFunc(keys, func(key string) bool { return d.bad(at + "." + key) })
		}
		switch {
		case d.bad(at):
		case a.At == "" && !bad("at"):
			d.problem(at+".at", "nothing", schedule.WantSomeAt)
		case a.Min == nil && a.Max == nil && a.Desired == nil && !bad("min", "max", "desired"):
			d.problem(at, schedule.SetsNothing, schedule.WantToSet)
		case bad("at", "zone", "from", "until"):
		default:
			var wrong *schedule.FieldError
			if _, err := schedule.Parse(a); errors.As(err, &wrong) {
				d.problem(at+"."+wrong.Field, wrong.Found, wrong.Want)
			}
		}
		if a.Min != nil && a.Max != nil {
			d.order(at, *a.Min <= *a.Max, bound{"min", "at most"}, bound{"max", "at least"}, scheduleFields(&a))
		}
	}
}

// disks checks what takes more than one field of the further disks.
func (d *decoder) disks(path string, disks []bus.Disk) {
	if len(disks) > bus.MaxDisks && !d.bad(path) {
		d.problem(path, fmt.Sprintf("%d disks", len(disks)), fmt.Sprintf("at most %d", bus.MaxDisks))
	}
	for i, disk := range disks {
		at := fmt.Sprintf("%s[%d]", path, i)
		if disk.SizeMiB == 0 && disk.Template == "" && !d.bad(at) && !d.bad(at+".size") && !d.bad(at+".template") {
			d.problem(at, "a disk without size and template", "one of them, or both")
		}
	}
}

// signal checks whether the signal of a group can ever be known.
func (d *decoder) signal(path string, g bus.Group) {
	p := g.Policy
	if !p.Has(bus.PolicyTarget) || d.bad(path+".signal") || d.bad(path+".expression") || !g.Unmetered() {
		return
	}
	const want = "one that is not of the network: the VMs have user-mode networking, which has no counters"
	for _, s := range []bus.Signal{bus.SignalNetworkRx, bus.SignalNetworkTx} {
		switch {
		case p.Signal == s:
			d.problem(path+".signal", string(s), want)
		case p.Signal == bus.SignalExpression && strings.Contains(p.Expression, string(s)):
			d.problem(path+".expression", string(s), want)
		}
	}
}

// policy checks what takes more than one of a policy's fields.
func (d *decoder) policy(path string, p bus.Policy) {
	switch {
	case d.bad(path + ".signal"), d.bad(path + ".metric"), d.bad(path + ".type"):
	case p.Signal == bus.SignalMetric && p.Metric == "":
		d.problem(path+".signal", string(p.Signal), "it together with the name of a metric")
	case p.Signal != bus.SignalCPU && !p.Has(bus.PolicyTarget):
		d.problem(path+".signal", string(p.Signal), "it with type: target only")
	case p.Signal == bus.SignalExpression && p.Expression == "" && !d.bad(path+".expression"):
		d.problem(path+".expression", "nothing", "an expression with signal: expression, such as max(cpu/60, memory/80)")
	case p.Signal.IsRate() && p.TargetMiBS == 0 && !d.bad(path+".target_mib_s"):
		d.problem(path+".target_mib_s", "none", "MiB/s for each VM with signal: "+string(p.Signal))
	}
	for _, t := range p.Shadow {
		if p.Has(t) && !d.bad(path+".shadow") && !d.bad(path+".type") {
			d.problem(path+".shadow", string(t), "policies that are not in type")
		}
	}
	d.prometheus(path+".prometheus", p)
	if !p.Signal.OfGroup() && p.TargetPercent == 0 && !d.bad(path+".target") {
		d.problem(path+".target", "0", "more than 0 percent")
	}
	for _, side := range []struct {
		key   string
		bands []bus.Band
		sign  float64
	}{{"out", p.Steps.Out, 1}, {"in", p.Steps.In, -1}} {
		for i, b := range side.bands {
			at := fmt.Sprintf("%s.steps.%s[%d]", path, side.key, i)
			switch {
			case d.bad(at), d.bad(at + ".from"), d.bad(at + ".adjust"), d.bad(path + ".steps.adjustment"):
			case i > 0 && b.From <= side.bands[i-1].From:
				d.problem(at+".from", fmt.Sprint(b.From), "more than the band before it has")
			case p.Steps.Adjustment != bus.AdjustPercent && b.Adjust != math.Trunc(b.Adjust):
				d.problem(at+".adjust", fmt.Sprint(b.Adjust), "a whole number of VMs")
			case p.Steps.Adjustment == bus.AdjustExact && b.Adjust < 1:
				d.problem(at+".adjust", fmt.Sprint(b.Adjust), "at least 1 VM with adjustment: exact")
			case p.Steps.Adjustment != bus.AdjustExact && b.Adjust*side.sign < 0:
				d.problem(at+".adjust", fmt.Sprint(b.Adjust), map[string]string{"out": "0 or more", "in": "0 or less"}[side.key])
			}
		}
	}
}

// prometheus checks what takes more than one field of a query of Prometheus.
func (d *decoder) prometheus(path string, p bus.Policy) {
	q := p.Prometheus
	if d.bad(path) || d.bad(path+".url") {
		return
	}
	follows := policy.FollowsPrometheus(p)
	u, err := url.Parse(q.URL)
	switch {
	case follows && q.URL == "":
		d.problem(path+".url", "nothing", "the address of Prometheus, such as http://127.0.0.1:9090, for what it answers")
	case follows && strings.TrimSpace(q.Query) == "" && !d.bad(path+".query"):
		d.problem(path+".query", "nothing", "the query, such as sum(rate(http_requests_total[1m]))")
	case q.TokenFile != "" && err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()):
		d.problem(path+".token_file", q.TokenFile, "it with a url of https or of this machine: others could read the token on the way")
	}
	if follows && !d.bad(path+".interval") {
		atMost := p.MetricMaxAge - q.Timeout
		if q.Interval > atMost && !d.bad(path+".timeout") {
			d.problem(path+".interval", short(q.Interval), fmt.Sprintf(
				"at most %s, as an answer holds for metric_max_age (%s) and takes up to timeout (%s)", short(max(0, atMost)),
				short(p.MetricMaxAge), short(q.Timeout)))
		}
	}
	if len(q.Headers) > bus.MaxHeaders {
		d.problem(path+".headers", fmt.Sprintf("%d headers", len(q.Headers)), fmt.Sprintf("at most %d", bus.MaxHeaders))
	}
	for i, h := range q.Headers {
		if at := fmt.Sprintf("%s.headers[%d]", path, i); h.Name == "" && !d.bad(at) && !d.bad(at+".name") {
			d.problem(at+".name", "nothing", "the name of a header")
		}
	}
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// bound is one of two fields that bound each other, and what it has to be.
type bound struct{ key, want string }

// order reports two fields of a section that contradict each other, at the one that the file sets. It is silent if
// either has a problem by itself, since then its value is not what the file says.
func (d *decoder) order(path string, ok bool, low, high bound, fields section) {
	lowPath, highPath := join(path, low.key), join(path, high.key)
	if ok || d.bad(lowPath) || d.bad(highPath) {
		return
	}
	if d.has(lowPath) {
		d.problem(lowPath, fields.word(low.key), low.want+" "+d.mention(highPath, high.key, fields))
	} else {
		d.problem(highPath, fields.word(high.key), high.want+" "+d.mention(lowPath, low.key, fields))
	}
}

// mention is a field with its value, such as "max (5, the default)".
func (d *decoder) mention(path, key string, fields section) string {
	note := ""
	if !d.has(path) {
		note = ", the default"
	}
	return fmt.Sprintf("%s (%s%s)", key, fields.word(key), note)
}
