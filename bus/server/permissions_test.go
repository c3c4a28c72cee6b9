package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// The roles in the table below are letters, in this order.
const roleLetters = "CDABOMWLT"

// may says who may use a subject. It is the contract as people read it in docs/permissions.md, written down a second
// time on purpose: a role that gets more must be changed here too.
type may struct {
	subject string // as the page names it
	about   string // what passes there
	// What the test publishes, and what it subscribes to. The second is the first where it is empty.
	concrete  []string
	patterns  []string
	publish   string // letters of the roles
	subscribe string
}

func permissionTable() []may {
	return []may{
		{
			"vmscaler.sample.<group>.<host_id>",
			"samples",
			[]string{"vmscaler.sample.web.kvm1"},
			[]string{"vmscaler.sample.web.kvm1", "vmscaler.sample.>", "vmscaler.sample.web.*"},
			"C",
			"DABOLT",
		},
		{
			"vmscaler.decision.<group>.<direction>", "decisions",
			[]string{"vmscaler.decision.web.out", "vmscaler.decision.web.in", "vmscaler.decision.web.hold"},
			[]string{"vmscaler.decision.web.out", "vmscaler.decision.>", "vmscaler.decision.*.in"},
			"D", "DABOLT",
		},
		{
			"vmscaler.lifecycle.<group>.<vm>.<event>",
			"events",
			[]string{"vmscaler.lifecycle.web.web-1.ready", "vmscaler.lifecycle.web._.failed"},
			[]string{"vmscaler.lifecycle.web.web-1.ready", "vmscaler.lifecycle.>"},
			"A",
			"BOLT",
		},
		{
			"vmscaler.lifecycle.<group>._.control",
			"that a person paused or resumed something",
			[]string{"vmscaler.lifecycle.web._.control"},
			nil,
			"DA",
			"BOLT",
		},
		{
			"vmscaler.health.collector.<instance>",
			"the collector's health",
			[]string{"vmscaler.health.collector.h-1"},
			nil,
			"C",
			"DBOLT",
		},
		{"vmscaler.health.decider.<instance>", "the decider's health", []string{"vmscaler.health.decider.h-1"}, nil, "D", "DBOLT"},
		{"vmscaler.health.actuator.<instance>", "the actuator's health", []string{"vmscaler.health.actuator.h-1"}, nil, "A", "DABOLT"},
		{
			"vmscaler.health.<other>.<instance>",
			"health of the bus itself, or of anything else",
			[]string{"vmscaler.health.bus.h-1", "vmscaler.health.dashboard.h-1"},
			[]string{"vmscaler.health.bus.h-1", "vmscaler.health.>"},
			"",
			"DBOLT",
		},
		{
			"vmscaler.metric.<group>.prometheus",
			"what a group's query of Prometheus answers",
			[]string{"vmscaler.metric.web.prometheus"},
			nil,
			"DOM",
			"DT",
		},
		{
			"vmscaler.metric.<group>.<name>",
			"numbers that a group scales on",
			[]string{"vmscaler.metric.web.requests"},
			[]string{"vmscaler.metric.web.requests", "vmscaler.metric.>"},
			"OM",
			"DT",
		},
		{
			"vmscaler.demand.<group>",
			"what was asked of a group",
			[]string{"vmscaler.demand.web"},
			[]string{"vmscaler.demand.web", "vmscaler.demand.>"},
			"D",
			"T",
		},
		{
			"vmscaler.victims.<group>.<hook>",
			"questions which VMs may be scaled in",
			[]string{"vmscaler.victims.web.jobs"},
			[]string{"vmscaler.victims.web.jobs", "vmscaler.victims.>"},
			"A",
			"OT",
		},
		{"vmscaler.ctl.status", "request for the whole picture", []string{"vmscaler.ctl.status"}, nil, "OT", "D"},
		{"vmscaler.ctl.explain", "request for the newest decision", []string{"vmscaler.ctl.explain"}, nil, "OT", "D"},
		{"vmscaler.ctl.forecast", "request for what predictive expects", []string{"vmscaler.ctl.forecast"}, nil, "OT", "D"},
		{
			"vmscaler.ctl.{pause, resume, dry-run, scale, set, reset, schedule, launch, forget, order-host}",
			"requests that change something of a group",
			[]string{
				"vmscaler.ctl.pause",
				"vmscaler.ctl.resume",
				"vmscaler.ctl.dry-run",
				"vmscaler.ctl.scale",
				"vmscaler.ctl.set",
				"vmscaler.ctl.reset",
				"vmscaler.ctl.schedule",
				"vmscaler.ctl.launch",
				"vmscaler.ctl.forget",
				"vmscaler.ctl.order-host",
			},
			nil,
			"O",
			"D",
		},
		{
			"vmscaler.wake.<group>", "request to wake a group that has no VM",
			[]string{"vmscaler.wake.web"},
			[]string{"vmscaler.wake.web", "vmscaler.wake.*", "vmscaler.wake.>"},
			"OW", "D",
		},
		{"vmscaler.wake.<group>.>", "", []string{"vmscaler.wake.web.x"}, nil, "", ""},
		{
			"vmscaler.ctl.{replace, remove, drain}", "requests for one VM",
			[]string{"vmscaler.ctl.replace", "vmscaler.ctl.remove", "vmscaler.ctl.drain"},
			nil, "O", "D",
		},
		{"vmscaler.ctl.unhealthy", "request to mark one VM as unhealthy", []string{"vmscaler.ctl.unhealthy"}, nil, "OL", "D"},
		{
			"vmscaler.ctl.<verb>.<group>", "the same requests, of one group or of its VMs",
			[]string{"vmscaler.ctl.scale.web", "vmscaler.ctl.schedule.web", "vmscaler.ctl.refresh.web", "vmscaler.ctl.remove.web"},
			[]string{"vmscaler.ctl.scale.web", "vmscaler.ctl.scale.*", "vmscaler.ctl.refresh.*", "vmscaler.ctl.remove.web"},
			"O", "D",
		},
		{
			"vmscaler.ctl.unhealthy.<group>", "the same, to mark one VM of the group",
			[]string{"vmscaler.ctl.unhealthy.web"},
			nil,
			"OL", "D",
		},
		{"vmscaler.ctl.hook", "answer to a hook", []string{"vmscaler.ctl.hook"}, nil, "O", "A"},
		{"vmscaler.ctl.apply", "request to have other groups hold", []string{"vmscaler.ctl.apply"}, nil, "O", "CDA"},
		{
			"vmscaler.ctl.<other>",
			"any other request",
			[]string{"vmscaler.ctl.protect", "vmscaler.ctl.status.x"},
			[]string{"vmscaler.ctl.protect", "vmscaler.ctl.>", "vmscaler.ctl.*"},
			"O",
			"",
		},
		{
			"vmscaler.<other>.>",
			"nothing so far",
			[]string{"vmscaler.other", "vmscaler.other.x"},
			[]string{"vmscaler.other", "vmscaler.other.>", "vmscaler.*.*.*.*.*.*", "vmscaler.>"},
			"",
			"T",
		},
		{
			"$SRV.PING, $SRV.INFO, $SRV.STATS", "`nats micro ls`, `info` and `stats`",
			[]string{"$SRV.PING", "$SRV.INFO", "$SRV.STATS", "$SRV.PING.vmscaler", "$SRV.INFO.vmscaler.x", "$SRV.STATS.vmscaler"},
			nil, "OT", "D",
		},
		{"$SRV.<other>", "", []string{"$SRV.SCHEMA", "$SRV"}, []string{"$SRV.SCHEMA", "$SRV.>"}, "", ""},
		{
			"$JS.API.{STREAM.INFO, CONSUMER.CREATE, CONSUMER.INFO, CONSUMER.DELETE, CONSUMER.MSG.NEXT}.{vmscaler-history, " +
				"vmscaler-demand}", "reading the history",
			[]string{
				"$JS.API.STREAM.INFO.vmscaler-history", "$JS.API.CONSUMER.CREATE.vmscaler-history.c",
				"$JS.API.CONSUMER.INFO.vmscaler-history.c",
				"$JS.API.CONSUMER.DELETE.vmscaler-history.c", "$JS.API.CONSUMER.MSG.NEXT.vmscaler-history.c",
				"$JS.API.STREAM.INFO.vmscaler-demand", "$JS.API.CONSUMER.CREATE.vmscaler-demand.c", "$JS.API.CONSUMER.INFO.vmscaler-demand.c",
				"$JS.API.CONSUMER.DELETE.vmscaler-demand.c", "$JS.API.CONSUMER.MSG.NEXT.vmscaler-demand.c",
			},
			nil, "O", "",
		},
		{
			"$KV.{vmscaler-state, vmscaler-lock}.>, $JS.API.{STREAM.INFO, DIRECT.GET}.KV_{vmscaler-state, vmscaler-lock}",
			"what is kept of groups, and who leads",
			[]string{
				"$KV.vmscaler-state.x", "$JS.API.STREAM.INFO.KV_vmscaler-state", "$JS.API.DIRECT.GET.KV_vmscaler-state.x",
				"$KV.vmscaler-lock.x", "$JS.API.STREAM.INFO.KV_vmscaler-lock", "$JS.API.DIRECT.GET.KV_vmscaler-lock.x",
			},
			nil, "D", "",
		},
		{
			"$JS.>, $KV.>, $O.>", "everything else of JetStream",
			[]string{
				"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE.vmscaler-history",
				"$JS.API.STREAM.UPDATE.vmscaler-history",
				"$JS.API.STREAM.DELETE.vmscaler-history", "$JS.API.STREAM.PURGE.vmscaler-history", "$JS.API.STREAM.PURGE.vmscaler-demand",
				"$JS.API.STREAM.MSG.DELETE.vmscaler-history",
				"$JS.API.STREAM.MSG.GET.vmscaler-history", "$JS.API.STREAM.SNAPSHOT.vmscaler-history",
				"$JS.API.STREAM.RESTORE.vmscaler-history",
				"$JS.API.DIRECT.GET.vmscaler-history", "$JS.API.STREAM.INFO.other", "$JS.API.STREAM.CREATE.other",
				"$JS.API.STREAM.DELETE.other",
				"$JS.API.CONSUMER.CREATE.other.c", "$JS.API.CONSUMER.CREATE.vmscaler-history", "$JS.API.CONSUMER.MSG.NEXT.other.c",
				"$JS.API.CONSUMER.DURABLE.CREATE.vmscaler-history.c", "$JS.API.CONSUMER.LIST.vmscaler-history",
				"$JS.ACK.vmscaler-history.c.1.1.1.1.0",
				"$JS.FC.vmscaler-history.c.x", "$JS.EVENT.ADVISORY.x", "$KV.overrides.web",
				"$JS.API.STREAM.PURGE.KV_vmscaler-state", "$JS.API.STREAM.DELETE.KV_vmscaler-lock",
				"$JS.API.STREAM.MSG.DELETE.KV_vmscaler-state", "$O.files.C.x",
			},
			[]string{
				"$JS.>",
				"$JS.API.>",
				"$JS.API.INFO",
				"$JS.ACK.>",
				"$JS.EVENT.ADVISORY.>",
				"$JS.API.CONSUMER.MSG.NEXT.vmscaler-history.>",
				"$KV.>",
				"$O.>",
			},
			"", "",
		},
		{
			"$SYS.>",
			"the server's own",
			[]string{"$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$SYS.ACCOUNT.$G.CONNECT"},
			[]string{"$SYS.>", "$SYS.ACCOUNT.*.CONNECT"},
			"",
			"",
		},
		{
			"_INBOX.>",
			"answers to those without credentials",
			[]string{"_INBOX.x", "_INBOX.x.y"},
			[]string{"_INBOX.x", "_INBOX.>"},
			"D",
			"T",
		},
		{
			"_VMSCALER.operator.>",
			"answers to operators",
			[]string{"_VMSCALER.operator.x"},
			[]string{"_VMSCALER.operator.x", "_VMSCALER.operator.>"},
			"CDA",
			"O",
		},
		{
			"_VMSCALER.monitor.>",
			"answers to monitors",
			[]string{"_VMSCALER.monitor.x"},
			[]string{"_VMSCALER.monitor.x", "_VMSCALER.monitor.>"},
			"D",
			"L",
		},
		{
			"_VMSCALER.decider.>",
			"answers to deciders",
			[]string{"_VMSCALER.decider.x"},
			[]string{"_VMSCALER.decider.x", "_VMSCALER.decider.>"},
			"D",
			"D",
		},
		{
			"_VMSCALER.actuator.>",
			"answers to actuators",
			[]string{"_VMSCALER.actuator.x"},
			[]string{"_VMSCALER.actuator.x", "_VMSCALER.actuator.>"},
			"D",
			"A",
		},
		{
			"_VMSCALER.victims.>",
			"which VMs may be scaled in",
			[]string{"_VMSCALER.victims.x"},
			[]string{"_VMSCALER.victims.x", "_VMSCALER.victims.>"},
			"DO",
			"A",
		},
		{
			"_VMSCALER.wake.>", "answers to those who wake groups",
			[]string{"_VMSCALER.wake.x"},
			[]string{"_VMSCALER.wake.x", "_VMSCALER.wake.>"},
			"D", "W",
		},
		{
			"_VMSCALER.<other>.>", "answers to others",
			[]string{"_VMSCALER.collector.x", "_VMSCALER.dashboard.x", "_VMSCALER.tap.x", "_VMSCALER.x"},
			[]string{"_VMSCALER.collector.>", "_VMSCALER.dashboard.>", "_VMSCALER.tap.>", "_VMSCALER.>"},
			"D", "",
		},
		{
			"everything else",
			"",
			[]string{"foo", "foo.bar", "vmscaler", "vmscalerx.sample.web.h", ">", "*"},
			[]string{"foo", "vmscaler", "_R_.>", ">", "*", "*.>", "*.ctl.status", "*.ctl.>", "*.decision.>", "_INBOX", "*.x"},
			"",
			"",
		},
	}
}

func Allows(cell string, letter byte) bool { return strings.IndexByte(cell, letter) >= 0 }

// example is a subject that a pattern matches.
func example(pattern string) string {
	if head, found := strings.CutSuffix(pattern, ">"); found {
		pattern = head + "x"
	}
	return strings.ReplaceAll(pattern, "*", "x")
}

// Each cell both ways: what a role may do works, and what it may not is refused and does nothing.
func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	type identity struct {
		name, key string
		letter    byte
	}
	identities := []identity{{"anonymous", "", 'T'}}
	for i, role := range bus.Roles() {
		identities = append(identities, identity{string(role), server.CredentialsFile(dir, role), roleLetters[i]},
			identity{string(role) + " in the process", "", roleLetters[i]})
	}
	for _, who := range identities {
		t.Run(who.name, func(t *testing.T) {
			t.Parallel()
			witness := bustest.Join(t, s, "witness of "+who.name)
			seen := bustest.Collect(t, witness, ">")
			var m bustest.Member
			if role, inProcess := strings.CutSuffix(who.name, " in the process"); inProcess {
				m = bustest.Member{NC: bustest.Join(t, s, role).NATS(), T: t}
			} else {
				m = bustest.NewMember(t, s, who.key)
			}
			arrived := func(subject string) bool {
				t.Helper()
				if err := witness.Flush(); err != nil {
					t.Fatal(err)
				}
				found := false
				for len(seen) > 0 {
					msg := <-seen
					found = found || msg.Subject == subject && string(msg.Data) == t.Name()
				}
				return found
			}
			for _, row := range permissionTable() {
				for _, subject := range row.concrete {
					want := Allows(row.publish, who.letter)
					refused := m.Publish(subject)
					if got := arrived(subject); got != want || refused == want {
						t.Errorf("publish %s: arrived %t, refused %t; want allowed %t", subject, got, refused, want)
					}
				}
				patterns := row.patterns
				if patterns == nil {
					patterns = row.concrete
				}
				for _, pattern := range patterns {
					want := Allows(row.subscribe, who.letter)
					sub, err := m.NC.SubscribeSync(pattern)
					if err != nil {
						t.Fatalf("%s: %v", pattern, err)
					}
					refused := m.Refused("Subscription", pattern)
					bustest.Publish(t, witness, example(pattern), []byte("for "+t.Name()))
					if err := m.NC.FlushWithContext(bustest.Limit(t)); err != nil {
						t.Fatal(err)
					}
					n, _, err := sub.Pending()
					if err != nil && !refused {
						t.Fatal(err)
					}
					if (n > 0) != want || refused == want {
						t.Errorf("subscribe to %s: got %d messages, refused %t; want allowed %t", pattern, n, refused, want)
					}
					_ = sub.Unsubscribe()
				}
			}
		})
	}
}

// A tap that joined the responders' queue would swallow requests.
func TestTapSwallowsNoRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	responder := bustest.Join(t, s, "responder")
	// "q" is the queue that NATS services have in common if they do not say otherwise.
	for _, verb := range []string{"vmscaler.ctl.status", "vmscaler.ctl.scale", "vmscaler.wake.web"} {
		if _, err := responder.NATS().QueueSubscribe(verb, "q", func(m *nats.Msg) { _ = m.Respond([]byte("right")) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := responder.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", server.CredentialsFile(dir, bus.RoleTap)} {
		tap := bustest.NewMember(t, s, key)
		for _, pattern := range []string{
			"vmscaler.ctl.>", "vmscaler.ctl.status", "vmscaler.ctl.scale", "vmscaler.>",
			"vmscaler.*.status", "vmscaler.*.scale", "vmscaler.*.>", "vmscaler.wake.*", "vmscaler.wake.web", "vmscaler.*.web",
		} {
			if _, err := tap.NC.QueueSubscribe(pattern, "q", func(m *nats.Msg) { _ = m.Respond([]byte("swallowed")) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := tap.NC.FlushWithContext(bustest.Limit(t)); err != nil {
			t.Fatal(err)
		}
	}
	operator := bustest.DialAs(t, s, dir, bus.RoleOperator, bustest.Quiet)
	for i := range 100 {
		verb := []string{"vmscaler.ctl.status", "vmscaler.ctl.scale", "vmscaler.wake.web"}[i%3]
		ctx, cancel := context.WithTimeout(t.Context(), bustest.LimitTime)
		msg, err := operator.NATS().RequestWithContext(ctx, verb, nil)
		cancel()
		if err != nil || string(msg.Data) != "right" {
			t.Fatalf("request %d: %v", i, err)
		}
	}
}

func TestTapReadsNoOperatorsReplies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	responder := bustest.Join(t, s, "responder")
	if _, err := responder.NATS().Subscribe("vmscaler.ctl.scale",
		func(m *nats.Msg) { _ = m.Respond([]byte("secret")) }); err != nil {
		t.Fatal(err)
	}
	if err := responder.Flush(); err != nil {
		t.Fatal(err)
	}
	tap := bustest.NewMember(t, s, "")
	heard := make(chan *nats.Msg, 16)
	for _, pattern := range []string{
		"_INBOX.>", "_VMSCALER.>", "_VMSCALER.operator.>", "_VMSCALER.operator.*.*", "*.operator.>",
		"_R_.>", ">", "vmscaler.>",
	} {
		if _, err := tap.NC.ChanSubscribe(pattern, heard); err != nil {
			t.Fatal(err)
		}
	}
	if err := tap.NC.FlushWithContext(bustest.Limit(t)); err != nil {
		t.Fatal(err)
	}
	operator := bustest.DialAs(t, s, dir, bus.RoleOperator, bustest.Quiet)
	if msg, err := operator.NATS().RequestWithContext(bustest.Limit(t), "vmscaler.ctl.scale", nil); err != nil ||
		string(msg.Data) != "secret" {
		t.Fatal(err)
	}
	if err := tap.NC.FlushWithContext(bustest.Limit(t)); err != nil {
		t.Fatal(err)
	}
	for len(heard) > 0 {
		msg := <-heard
		t.Errorf("it heard %s on %s", msg.Data, msg.Subject)
	}
}

// Nobody without credentials can make a stage believe anything, nor put anything into the history.
func TestForgedMessagesChangeNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	stage := bustest.Join(t, s, "stage")
	seen := bustest.Collect(t, stage, "vmscaler.>")
	o := bustest.NewMember(t, s, "")
	for _, m := range []bus.Outgoing{bustest.Sample(), bustest.Decision(), bustest.Event(), bustest.Health()} {
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.NC.Publish(m.Subject(), data); err != nil {
			t.Fatal(err)
		}
		if !o.Refused("Publish", m.Subject()) {
			t.Errorf("%s is not refused: %v", m.Subject(), o.NC.LastError())
		}
	}
	bustest.Publish(t, stage, "vmscaler.health.bus.end", nil)
	if msg := bustest.Receive(t, seen, "message"); msg.Subject != "vmscaler.health.bus.end" {
		t.Errorf("%s arrived", msg.Subject)
	}
	if records := bustest.ReadAll(t, stage, client.HistoryQuery{}); len(records) > 0 {
		t.Errorf("the history has %+v", records)
	}
}

var updatePage = flag.Bool("update", false, "write the table into the page")

const permissionsPage = "docs/permissions.md"

// The page repeats the table of this test; -update takes it over.
func TestPermissionsPageHasTheTable(t *testing.T) {
	const begin, end = "<!-- begin of the table: bus/server/permissions_test.go writes it -->\n", "<!-- end of the table -->\n"
	var b strings.Builder
	b.WriteString("| subject | carries |")
	for _, role := range bus.Roles() {
		fmt.Fprintf(&b, " %s |", role)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(bus.Roles())) + "\n")
	for _, row := range permissionTable() {
		subject := row.subject
		if strings.Contains(subject, ".") {
			subject = "`" + subject + "`"
		}
		fmt.Fprintf(&b, "| %s | %s |", subject, row.about)
		for i := range bus.Roles() {
			cell := ""
			switch pub, sub := Allows(row.publish, roleLetters[i]), Allows(row.subscribe, roleLetters[i]); {
			case pub && sub:
				cell = "pub, sub"
			case pub:
				cell = "pub"
			case sub:
				cell = "sub"
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	path := filepath.Join("..", "..", permissionsPage)
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), begin)
	table, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s lacks %s or %s", permissionsPage, begin, end)
	}
	if table == b.String() {
		return
	}
	if !*updatePage {
		t.Fatalf("%s has another table (write it again with -update)", permissionsPage)
	}
	if err := os.WriteFile(path, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What `vmscaler bus credentials ROLE` prints for NATS's tool must be something that the role may do.
func TestTrialOfEachRole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	sender := bustest.Join(t, s, "stage")
	for _, role := range bus.Roles() {
		m := bustest.NewMember(t, s, server.CredentialsFile(dir, role))
		switch trial := role.Trial(); trial[0] {
		case "sub":
			heard := make(chan *nats.Msg, 1)
			if _, err := m.NC.ChanSubscribe(trial[1], heard); err != nil {
				t.Fatal(err)
			}
			if m.Refused("Subscription", trial[1]) {
				t.Errorf("%s may not do %q", role, trial)
				continue
			}
			bustest.PublishAll(t, sender, bustest.Decision())
			bustest.Receive(t, heard, "decision as "+string(role))
		case "rtt":
			if _, err := m.NC.RTT(); err != nil {
				t.Errorf("%s: %v", role, err)
			}
			hears := slices.DeleteFunc(role.Permissions().Subscribe, func(subject string) bool {
				return subject == role.InboxPrefix()+".>" || subject == bus.ApplySubject // which it answers
			})
			if len(hears) > 0 {
				t.Errorf("%s hears something, and is shown nothing of it", role)
			}
		default:
			t.Errorf("%s: the test does not know %q", role, trial)
		}
	}
}

// Without taps nobody gets in without credentials, and everybody with them.
func TestNoTaps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir, NoTaps: true})
	if nc, err := nats.Connect(s.URL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without credentials: got %v", err)
		if err == nil {
			nc.Close()
		}
	}
	for _, role := range bus.Roles() {
		m := bustest.NewMember(t, s, server.CredentialsFile(dir, role))
		if err := m.NC.FlushWithContext(bustest.Limit(t)); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
	bustest.Join(t, s, string(bus.RoleDecider))
}
