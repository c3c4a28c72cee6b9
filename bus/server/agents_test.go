package server_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// newKey is a key of a host's own: the file with its seed, and its public half.
func newKey(t *testing.T) (file, public string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = key.PublicKey(); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "agent.nk")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, public
}

// letIn gives a host the right to have an agent, and waits until the bus knows.
func letIn(t *testing.T, s *server.Server, dir, name string, id bus.HostID) (key string) {
	t.Helper()
	key, public := newKey(t)
	if err := server.AddAgent(dir, server.Agent{Name: name, HostID: id, Key: public, Added: time.Now()}); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, "the bus lets "+name+" in", func() bool {
		nc, err := nats.Connect(s.URL(), must(nats.NkeyOptionFromSeed(key)))
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	return key
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// An agent of one host says nothing for another, by subjects alone: a receiver drops what says another host than its subject.
func TestAgentSpeaksForItsHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	m := bustest.NewMember(t, s, letIn(t, s, dir, "kvm1", "id.1"))
	seen := bustest.Collect(t, bustest.Join(t, s, "witness"), ">")
	allowed := []string{
		"vmscaler.sample.web.id%2E1", "vmscaler.load.web.id%2E1", "vmscaler.lifecycle.web.web-1.ready.id%2E1",
		"vmscaler.lifecycle.web._.failed.id%2E1", "vmscaler.health.collector.kvm1-7.id%2E1",
		"vmscaler.health.actuator.kvm1-7.id%2E1",
		"_VMSCALER.operator.x", "vmscaler.victims.web.hook",
	}
	for _, subject := range allowed {
		if m.Publish(subject) {
			t.Errorf("publish %s: refused", subject)
		}
		if msg := bustest.Receive(t, seen, subject); msg.Subject != subject {
			t.Errorf("got %s, want %s", msg.Subject, subject)
		}
	}
	for _, subject := range []string{
		"vmscaler.sample.web.id-2", "vmscaler.load.web.id-2", "vmscaler.lifecycle.web.web-1.ready",
		"vmscaler.lifecycle.web.web-1.ready.id-2",
		"vmscaler.health.actuator.kvm1-7", "vmscaler.health.actuator.kvm2-7.id-2", "vmscaler.health.decider.kvm1-7.id%2E1",
		"vmscaler.health.collector.kvm2-7.id-2", "vmscaler.decision.web.in", "vmscaler.ctl.scale", "vmscaler.ctl.status",
		"vmscaler.metric.web.x", "$JS.API.INFO", "$KV.vmscaler-lock.x", "vmscaler.join.x", "_INBOX.x", "_VMSCALER.agent.id-2.x",
		"foo",
	} {
		if !m.Publish(subject) {
			t.Errorf("publish %s: not refused", subject)
		}
	}
	for pattern, want := range map[string]bool{
		bus.AllDecisions: true, bus.AllSamples: true, bus.ActuatorHealth: true, "_VMSCALER.agent.id%2E1.>": true,
		"vmscaler.ctl.hook":      true,
		"_VMSCALER.agent.id-2.>": false, "_VMSCALER.agent.>": false, "_VMSCALER.operator.>": false, "vmscaler.>": false,
		"_INBOX.>":           false,
		"vmscaler.ctl.scale": false, "_VMSCALER.actuator.>": false, "vmscaler.join.*": false,
	} {
		if _, err := m.NC.SubscribeSync(pattern); err != nil {
			t.Fatal(err)
		}
		if got := !m.Refused("Subscription", pattern); got != want {
			t.Errorf("subscribe to %s: allowed %t, want %t", pattern, got, want)
		}
	}
}

// The page has what an agent may; -update takes it over.
func TestPermissionsPageHasAgents(t *testing.T) {
	const begin, end = "<!-- begin of the agents: bus/server/agents_test.go writes it -->\n", "<!-- end of the agents -->\n"
	allowed := bus.AgentPermissions("HOST")
	table := "| it may publish to | it may subscribe to |\n|---|---|\n"
	for i := range max(len(allowed.Publish), len(allowed.Subscribe)) {
		table += "|"
		for _, subjects := range [][]string{allowed.Publish, allowed.Subscribe} {
			if i < len(subjects) {
				table += " `" + strings.ReplaceAll(subjects[i], "HOST", "<host_id>") + "`"
			}
			table += " |"
		}
		table += "\n"
	}
	path := filepath.Join("..", "..", permissionsPage)
	page := string(must(os.ReadFile(path)))
	before, rest, found := strings.Cut(page, begin)
	got, after, closed := strings.Cut(rest, end)
	switch {
	case !found || !closed:
		t.Fatalf("%s lacks %s or %s", permissionsPage, begin, end)
	case got == table:
	case *updatePage:
		if err := os.WriteFile(path, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("%s has another table of agents (write it again with -update)", permissionsPage)
	}
}

// What the agent of a host sends is bound to it, and reaches those who hear it; what says another host is dropped.
func TestMessagesOfAgents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	key := letIn(t, s, dir, "kvm1", "id-1")
	stage := bustest.Join(t, s, string(bus.RoleDecider))
	samples := bustest.Subscribe[bus.Sample](t, stage, bus.AllSamples)
	healths := bustest.Subscribe[bus.Health](t, stage, bus.AllHealth)
	witness := bustest.Join(t, s, "witness")
	events := bustest.Subscribe[bus.Event](t, witness, bus.AllEvents)
	agent, err := client.DialNow(client.Remote{URL: s.URL(), Nkey: key, Host: "id-1"}, string(bus.RoleActuator), bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	sample, health, event := bustest.Sample(), bustest.Health(), bustest.Event()
	sample.HostID, health.Acts, health.Stage = "id-1", &bus.Acts{HostID: "id-1"}, string(bus.RoleActuator)
	bustest.PublishAll(t, agent, sample, health, event)
	if got := bustest.Receive(t, samples, "sample"); got.HostID != "id-1" {
		t.Errorf("got a sample of %s", got.HostID)
	}
	if got := bustest.Receive(t, healths, "health"); got.HostID != "id-1" || got.Acts.HostID != "id-1" {
		t.Errorf("got health of %s", got.HostID)
	}
	if got := bustest.Receive(t, events, "event"); got.HostID != "id-1" {
		t.Errorf("got an event of %s", got.HostID)
	}
	bustest.KeptRecords(t, witness, 1)
	if got := bustest.ReadAll(t, witness, client.HistoryQuery{Group: event.Group, VM: event.VM}); len(got) != 1 {
		t.Errorf("the history of the VM has %d records, want 1", len(got))
	}
	health.Acts.HostID = "id-2"
	if err := agent.Publish(health); !errors.Is(err, bus.ErrUnfit) {
		t.Errorf("health that acts on another host: got %v", err)
	}
	// Forged ones, on subjects that the agent may use.
	for i, forged := range []bus.Outgoing{sample, event} {
		data := must(json.Marshal(forged))
		subject := forged.Subject()
		data = []byte(strings.ReplaceAll(string(data), `"id-1"`, `"id-2"`))
		bustest.Publish(t, agent, subject, data)
		bustest.Eventually(t, "it is dropped", func() bool { return stage.Dropped()+witness.Dropped() == uint64(i)+1 })
	}
	var wrong *client.WrongHostError
	if _, err := client.DialNow(client.Remote{URL: s.URL(), Nkey: key, Host: "id-2"}, "collector",
		bustest.Quiet); !errors.As(err, &wrong) {
		t.Errorf("as the agent of another host: got %v", err)
	}
}

// Who is let in or out does not disturb the others; who is let out is cut off.
func TestAgentsComeAndGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	lost := make(chan string, 16)
	watch := func(name, key string) *nats.Conn {
		options := []nats.Option{nats.DisconnectErrHandler(func(*nats.Conn, error) { lost <- name }), nats.NoReconnect()}
		if key != "" {
			options = append(options, must(nats.NkeyOptionFromSeed(key)))
		}
		nc := must(nats.Connect(s.URL(), options...))
		t.Cleanup(nc.Close)
		return nc
	}
	inProcess := bustest.Join(t, s, string(bus.RoleDecider))
	others := []*nats.Conn{watch("tap", ""), watch("operator", server.CredentialsFile(dir, bus.RoleOperator)), inProcess.NATS()}
	first := watch("kvm1", letIn(t, s, dir, "kvm1", "id-1"))
	watch("kvm2", letIn(t, s, dir, "kvm2", "id-2"))
	if found, err := server.RemoveAgent(dir, "id-2"); !found || err != nil {
		t.Fatal(found, err)
	}
	if name := bustest.Receive(t, lost, "end of a connection"); name != "kvm2" {
		t.Errorf("%s was cut off, want kvm2", name)
	}
	for _, nc := range append(others, first) {
		if err := nc.FlushWithContext(bustest.Limit(t)); err != nil {
			t.Error(err)
		}
	}
	if n := inProcess.NATS().Stats().Reconnects; n != 0 || len(lost) != 0 {
		t.Errorf("%d others were cut off, the decider came back %d times", len(lost), n)
	}
	if found, err := server.RemoveAgent(dir, "kvm9"); found || err != nil {
		t.Error(found, err)
	}
}

// A host can take no key over that is another's: with it the bus would know the other by the host's rights.
func TestJoinWithAnothersKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	letIn(t, s, dir, "kvm1", "id-1")
	token, _, err := server.AddToken(dir, "kvm2", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	secret := must(server.ReadToken(token))
	holder := must(nkeys.FromSeed(secret.Seed))
	public := must(holder.PublicKey())
	var nc *nats.Conn
	bustest.Eventually(t, "the bus knows the token", func() bool {
		nc, err = nats.Connect(s.URL(), nats.Nkey(public, holder.Sign), nats.CustomInboxPrefix(bus.JoinInbox(public)))
		return err == nil
	})
	t.Cleanup(nc.Close)
	operator := must(must(nkeys.FromSeed(must(os.ReadFile(server.CredentialsFile(dir, bus.RoleOperator)))[:58])).PublicKey())
	agents, _ := server.Agents(dir)
	for name, key := range map[string]string{
		"of a role": operator, "of an agent": agents[0].Key, "of the token": public,
		"no key": "x",
	} {
		data := must(json.Marshal(bus.Join{V: bus.Version, HostID: "id-2", Key: key}))
		msg, err := nc.RequestWithContext(bustest.Limit(t), bus.JoinSubject(public), data)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := bus.Decode[bus.Joined](msg.Data); err != nil || answer.Refused == "" || answer.Text == "" {
			t.Errorf("a key %s: got %+v, %v", name, answer, err)
		}
	}
	if agents, _ := server.Agents(dir); len(agents) != 1 {
		t.Errorf("there are %d agents, want 1", len(agents))
	}
	// Nobody but the holder may use its subject, and nobody hears it.
	m := bustest.NewMember(t, s, server.CredentialsFile(dir, bus.RoleOperator))
	if !m.Publish(bus.JoinSubject(public)) {
		t.Error("an operator may use the subject of a token")
	}
	tap := bustest.NewMember(t, s, "")
	heard := make(chan *nats.Msg, 4)
	if _, err := tap.NC.ChanSubscribe("vmscaler.>", heard); err != nil {
		t.Fatal(err)
	}
	if err := tap.NC.FlushWithContext(bustest.Limit(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.RequestWithContext(bustest.Limit(t), bus.JoinSubject(public), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := tap.NC.FlushWithContext(bustest.Limit(t)); err != nil {
		t.Fatal(err)
	}
	if len(heard) > 0 {
		t.Errorf("a tap hears %s", (<-heard).Subject)
	}
}

// A file that nobody can read lets nobody in, and hinders no other.
func TestDamagedAgents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	letIn(t, s, dir, "kvm1", "id-1")
	if err := os.WriteFile(filepath.Join(dir, "agents", "kvm2.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	letIn(t, s, dir, "kvm3", "id-3")
	if all, bad := server.Agents(dir); len(all) != 2 || bad == nil || !strings.Contains(bad.Error(), "kvm2.json") {
		t.Errorf("got %+v, %v", all, bad)
	}
	_, public := newKey(t)
	for _, tt := range []struct {
		agent server.Agent
		want  string
	}{
		{server.Agent{Name: "kvm1", HostID: "id-4", Key: public}, "the name kvm1 is taken"},
		{server.Agent{Name: "kvm4", HostID: "id-1", Key: public}, "has joined already, as kvm1"},
		{server.Agent{Name: "../x", HostID: "id-4", Key: public}, "host name: found"},
		{server.Agent{Name: "kvm4", HostID: "id-4", Key: "x"}, "want the id of a libvirt and the public nkey"},
	} {
		if err := server.AddAgent(dir, tt.agent); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.agent, err, tt.want)
		}
	}
}
