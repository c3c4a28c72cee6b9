package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// Kept is what changed something, over a restart as well; what is said again each tick is not.
func TestHistoryKeepsWhatHappened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	stage, err := s.Connect("stage", bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	if got := bustest.ReadAll(t, stage, client.HistoryQuery{}); len(got) > 0 {
		t.Errorf("at the beginning: %v", bustest.Whats(got))
	}
	bustest.PublishAll(
		t,
		stage,
		bustest.Sample(),
		bustest.DecisionAt("web", bus.Hold, bustest.Noon),
		bustest.DecisionAt("web", bus.Out, bustest.Noon),
		bustest.Health(),
		bustest.EventAt("web", "web-1", bustest.Noon),
		bustest.EventAt(
			"web",
			"",
			bustest.Noon,
		),
		bustest.DecisionAt("web", "", bustest.Noon),
		bustest.DecisionAt("db", bus.In, bustest.Noon),
	)
	bustest.Publish(t, stage, "vmscaler.ctl.status", []byte(`{}`))
	bustest.Publish(t, stage, "vmscaler.ctl.scale", []byte(`{}`))
	bustest.PublishAll(t, stage, bustest.EventAt("db", "kvm.example.org", bustest.Noon))
	want := []string{"web out", "web web-1 failed", "web  failed", "db in", "db kvm.example.org failed"}
	bustest.KeptRecords(t, stage, uint64(len(want)))
	got := bustest.ReadAll(t, stage, client.HistoryQuery{})
	if !slices.Equal(bustest.Whats(got), want) {
		t.Errorf("got  %q\nwant %q", bustest.Whats(got), want)
	}
	if r := got[0]; r.Event != nil || r.Decision.Sentence != bustest.Decision().Sentence || !r.Time().Equal(bustest.Noon) {
		t.Errorf("got %+v", r)
	}
	if r := got[1]; r.Decision != nil || r.Event.Error != bustest.Event().Error || !r.Time().Equal(bustest.Noon) {
		t.Errorf("got %+v", r)
	}
	stage.Close()
	s.Stop()

	s = bustest.StartWith(t, server.Config{StateDir: dir})
	operator := bustest.DialAs(t, s, dir, bus.RoleOperator, bustest.Quiet)
	if got := bustest.Whats(bustest.ReadAll(t, operator, client.HistoryQuery{})); !slices.Equal(got, want) {
		t.Errorf("after a restart: got  %q\nwant %q", got, want)
	}
	bustest.PublishAll(t, bustest.DialAs(t, s, dir, bus.RoleActuator, bustest.Quiet), bustest.EventAt("web", "web-2", bustest.Noon))
	bustest.KeptRecords(t, operator, uint64(len(want))+1)
	if got := bustest.Whats(bustest.ReadAll(t, operator, client.HistoryQuery{})); !slices.Equal(
		got,
		append(want, "web web-2 failed"),
	) {
		t.Errorf("after the restart, and one more: %q", got)
	}
}

func TestHistoryQuery(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	stage, operator := bustest.Join(t, s, "stage"), bustest.DialAs(t, s, dir, bus.RoleOperator, bustest.Quiet)
	// Names that are prefixes of each other, or look like another's after a careless escape.
	bustest.PublishAll(
		t,
		stage,
		bustest.EventAt("web", "1", bustest.Noon),
		bustest.EventAt("web-a", "2", bustest.Noon),
		bustest.DecisionAt("we", bus.Out, bustest.Noon),
		bustest.DecisionAt("web", bus.In, bustest.Noon),
		bustest.EventAt("db", "web", bustest.Noon),
	)
	bustest.KeptRecords(t, stage, 5)
	js, err := jetstream.New(stage.NATS())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(bustest.Limit(t), bus.HistoryStream)
	if err != nil {
		t.Fatal(err)
	}
	keptAt := func(seq uint64) time.Time {
		msg, err := stream.GetMsg(bustest.Limit(t), seq)
		if err != nil {
			t.Fatal(err)
		}
		return msg.Time
	}
	for _, tt := range []struct {
		name string
		q    client.HistoryQuery
		want []string
	}{
		{"all", client.HistoryQuery{}, []string{"web 1 failed", "web-a 2 failed", "we out", "web in", "db web failed"}},
		{"a group", client.HistoryQuery{Group: "web"}, []string{"web 1 failed", "web in"}},
		{"another group", client.HistoryQuery{Group: "we"}, []string{"we out"}},
		{"a group that is none", client.HistoryQuery{Group: "nobody"}, nil},
		{"a group that looks like a wildcard", client.HistoryQuery{Group: "*"}, nil},
		{"a group that looks like more", client.HistoryQuery{Group: "web.>"}, nil},
		{"since the fourth", client.HistoryQuery{Since: keptAt(4)}, []string{"web in", "db web failed"}},
		{"a group since the second", client.HistoryQuery{Group: "web", Since: keptAt(2)}, []string{"web in"}},
		{"since the future", client.HistoryQuery{Since: time.Now().Add(time.Hour)}, nil},
		{"since long ago", client.HistoryQuery{Group: "db", Since: bustest.Noon}, []string{"db web failed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := bustest.Whats(bustest.ReadAll(t, operator, tt.q)); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("the reader stops", func(t *testing.T) {
		enough, n := errors.New("enough"), 0
		err := client.ReadHistory(
			bustest.Limit(t),
			operator,
			client.HistoryQuery{},
			func(client.HistoryEntry) error { n++; return enough },
		)
		if !errors.Is(err, enough) || n != 1 {
			t.Errorf("got %v after %d", err, n)
		}
	})
}

func TestHistoryFollow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	stage, operator := bustest.Join(t, s, "stage"), bustest.DialAs(t, s, dir, bus.RoleOperator, bustest.Quiet)
	bustest.PublishAll(t, stage, bustest.EventAt("web", "before", bustest.Noon))
	bustest.KeptRecords(t, stage, 1)
	for _, tt := range []struct {
		name string
		q    client.HistoryQuery
		want []string
	}{
		{
			"from the beginning",
			client.HistoryQuery{Group: "web", Follow: true},
			[]string{"web before failed", "web after failed", "web out"},
		},
		{"from now on", client.HistoryQuery{Group: "db", Follow: true}, []string{"db after failed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			records, done := make(chan client.HistoryEntry, 16), make(chan error, 1)
			go func() {
				done <- client.ReadHistory(ctx, operator, tt.q, func(r client.HistoryEntry) error { records <- r; return nil })
			}()
			for i, want := range tt.want {
				if i == len(tt.want)-1 || i == 1 && len(tt.want) == 3 { // all that is old was read
					break
				}
				if got := bustest.What(bustest.Receive(t, records, "record")); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			bustest.PublishAll(
				t,
				stage,
				bustest.DecisionAt("web", bus.Hold, bustest.Noon),
				bustest.EventAt("db", "after", bustest.Noon),
				bustest.EventAt("web", "after", bustest.Noon),
				bustest.DecisionAt("web", bus.Out, bustest.Noon),
			)
			for _, want := range tt.want[max(0, len(tt.want)-2):] {
				if got := bustest.What(bustest.Receive(t, records, "record")); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			cancel()
			if err := bustest.Receive(t, done, "end"); !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// A record that cannot be read is told, and does not hide the others.
func TestHistoryLeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	stage := bustest.Join(t, s, "stage")
	bad := [][2]string{
		{"vmscaler.lifecycle.web.1.ready", `{`},
		{"vmscaler.decision.web.out", `{"v":99,"group":"web","id":"x","expires_at":"2026-05-04T12:00:00Z"}`},
		{"vmscaler.lifecycle.web", ``},
		{"vmscaler.decision.web.in", `null`},
	}
	for _, m := range bad {
		bustest.Publish(t, stage, m[0], []byte(m[1]))
	}
	bustest.PublishAll(t, stage, bustest.EventAt("web", "1", bustest.Noon))
	bustest.Publish(t, stage, bad[0][0], []byte(bad[0][1])) // the last one, too
	bustest.KeptRecords(t, stage, 6)
	var log bustest.LogLines
	operator := bustest.DialAs(t, s, dir, bus.RoleOperator, log.Logger())
	var skipped []string
	got := bustest.Whats(bustest.ReadAll(
		t,
		operator,
		client.HistoryQuery{
			Skipped: func(subject string, why error) { skipped = append(skipped, fmt.Sprintf("%s: %v", subject, why)) },
		},
	))
	if !slices.Equal(got, []string{"web 1 failed"}) {
		t.Errorf("got %q", got)
	}
	if len(skipped) != 5 || !strings.HasPrefix(skipped[0], bad[0][0]+": decode") {
		t.Errorf("skipped %q, want 5", skipped)
	}
	// Each `vmscaler explain` reads it: they were told when they were sent, and stay for a week.
	if lines := log.With(`"level":"warn"`); len(lines) != 0 {
		t.Errorf("logged %q", lines)
	}
}

// Nobody can push the history out with a few messages, and what repeats without end pushes out only itself.
func TestHistoryIsNotPushedOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	actuator := bustest.DialAs(t, s, dir, bus.RoleActuator, bustest.Quiet)
	first := bustest.EventAt("web", "1", bustest.Noon)
	bustest.PublishAll(t, actuator, first)
	bustest.KeptRecords(t, bustest.Join(t, s, "stage"), 1)
	for range 20 { // 80 MiB, more than is kept
		bustest.Publish(t, actuator, "vmscaler.lifecycle.web.2.ready", bytes.Repeat([]byte("x"), bus.MaxPayload))
	}
	loop := bustest.EventAt("web", "3", bustest.Noon)
	const again = client.HistoryPerSubject + 20
	for i := range again {
		loop.ElapsedMS = int64(i)
		if err := actuator.Publish(loop); err != nil {
			t.Fatal(err)
		}
	}
	if err := actuator.Flush(); err != nil {
		t.Fatal(err)
	}
	bustest.KeptRecords(t, bustest.Join(t, s, "stage"), 1+again)
	records := bustest.ReadAll(t, bustest.Join(t, s, string(bus.RoleOperator)), client.HistoryQuery{})
	if len(records) != 1+client.HistoryPerSubject || records[0].Event.VM != first.VM {
		t.Errorf(
			"%d records are left, the first of VM %s; want %d with that of VM %s",
			len(records),
			records[0].Event.VM,
			1+client.HistoryPerSubject,
			first.VM,
		)
	}
}

// The largest messages that are allowed are kept, and many of them can be read.
func TestHistoryOfLargeMessages(t *testing.T) {
	t.Parallel()
	s := bustest.StartWith(t, server.Config{StateDir: t.TempDir()})
	stage := bustest.Join(t, s, "stage")
	d := bustest.DecisionOf(bus.MaxHosts)
	d.Recommendations = make([]bus.Recommendation, 30)
	for i := range d.Recommendations {
		d.Recommendations[i].Sentence = strings.Repeat("x", bus.MaxText)
	}
	const many = 200
	for i := range many {
		d.Seq = uint64(i)
		bustest.PublishAll(t, stage, d)
	}
	bustest.KeptRecords(t, stage, many)
	if got := len(bustest.ReadAll(t, bustest.Join(t, s, string(bus.RoleOperator)), client.HistoryQuery{})); got != many {
		t.Errorf("read %d, want %d", got, many)
	}
}

func TestNoHistory(t *testing.T) {
	t.Parallel()
	none := func(t *testing.T, c *client.Conn) {
		t.Helper()
		if err := client.EnsureHistory(bustest.Limit(t), c); !errors.Is(err, client.ErrNoHistory) {
			t.Errorf("EnsureHistory: %v", err)
		}
		for _, follow := range []bool{false, true} {
			err := client.ReadHistory(
				bustest.Limit(t),
				c,
				client.HistoryQuery{Follow: follow},
				func(client.HistoryEntry) error { return errors.New("there is one") },
			)
			if !errors.Is(err, client.ErrNoHistory) {
				t.Errorf("ReadHistory, follow %t: %v", follow, err)
			}
		}
	}
	t.Run("embedded, no state folder", func(t *testing.T) {
		t.Parallel()
		none(t, bustest.Join(t, bustest.StartWith(t, server.Config{}), "stage"))
	})
	t.Run("another server, no JetStream", func(t *testing.T) {
		t.Parallel()
		c, err := client.DialNow(client.Remote{URL: client.PlainServer(t, natsserver.Options{})}, "actuator", bustest.Quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c.Embedded() {
			t.Error("it is taken for an embedded one")
		}
		none(t, c)
	})
	t.Run("another server with JetStream", func(t *testing.T) {
		t.Parallel()
		c, err := client.DialNow(
			client.Remote{URL: client.PlainServer(t, natsserver.Options{JetStream: true, StoreDir: t.TempDir()})},
			"actuator",
			bustest.Quiet,
		)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = client.ReadHistory(bustest.Limit(t), c, client.HistoryQuery{}, func(client.HistoryEntry) error { return nil })
		if !errors.Is(err, client.ErrNoHistory) {
			t.Errorf("before it is made: %v", err)
		}
		for range 2 {
			if err := client.EnsureHistory(bustest.Limit(t), c); err != nil {
				t.Fatal(err)
			}
		}
		bustest.PublishAll(t, c, bustest.Sample(), bustest.EventAt("web", "1", bustest.Noon))
		bustest.KeptRecords(t, c, 1)
		if got := bustest.Whats(bustest.ReadAll(t, c, client.HistoryQuery{})); !slices.Equal(got, []string{"web 1 failed"}) {
			t.Errorf("got %q", got)
		}
	})
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	for name, c := range map[string]*client.Conn{
		"in the process": bustest.Join(t, s, "stage"), "role": bustest.DialAs(t, s, dir, bus.RoleActuator, bustest.Quiet),
		"tap": bustest.DialAs(t, s, "", bus.RoleTap, bustest.Quiet),
	} {
		if !c.Embedded() {
			t.Errorf("%s: it is not taken for an embedded one", name)
		}
	}
}

// An operator of a bus may give it other limits; the next start leaves them as they are.
func TestHistoryKeepsChangedLimits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	stage, err := s.Connect("stage", bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(stage.NATS())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(bustest.Limit(t), bus.HistoryStream)
	if err != nil {
		t.Fatal(err)
	}
	if cfg := stream.CachedInfo().Config; cfg.MaxAge != bus.HistoryAge || cfg.MaxBytes != bus.HistoryBytes ||
		cfg.Storage != jetstream.FileStorage ||
		cfg.Discard != jetstream.DiscardOld {
		t.Errorf("made as %+v", cfg)
	}
	changed := stream.CachedInfo().Config
	changed.MaxAge, changed.MaxBytes = time.Hour, 1<<20
	if _, err := js.UpdateStream(bustest.Limit(t), changed); err != nil {
		t.Fatal(err)
	}
	if err := client.EnsureHistory(bustest.Limit(t), stage); err != nil {
		t.Fatal(err)
	}
	stage.Close()
	s.Stop()
	s = bustest.StartWith(t, server.Config{StateDir: dir})
	js, err = jetstream.New(bustest.Join(t, s, "stage").NATS())
	if err != nil {
		t.Fatal(err)
	}
	if stream, err = js.Stream(bustest.Limit(t), bus.HistoryStream); err != nil {
		t.Fatal(err)
	}
	if cfg := stream.CachedInfo().Config; cfg.MaxAge != changed.MaxAge || cfg.MaxBytes != changed.MaxBytes {
		t.Errorf("now it is %+v", cfg)
	}
}

// Who has read the history leaves nothing on the server.
func TestHistoryReadersLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	conn := bustest.Join(t, s, "test")
	bustest.PublishAll(t, conn, bustest.EventAt("web", "web-1", bustest.Noon))
	bustest.KeptRecords(t, conn, 1)
	operator, err := client.DialNow(
		client.Remote{URL: s.URL(), Nkey: server.CredentialsFile(dir, bus.RoleOperator)},
		string(bus.RoleOperator),
		bustest.Quiet,
	)
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close()
	for range 3 {
		if got := len(bustest.ReadAll(t, operator, client.HistoryQuery{})); got != 1 {
			t.Errorf("%d records", got)
		}
	}
	js, err := jetstream.New(conn.NATS())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(bustest.Limit(t), bus.HistoryStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers are left", n)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, m := range []bus.Outgoing{bustest.Decision(), bustest.Event()} {
		data, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Subject(), data)
	}
	f.Add("vmscaler.decision.", []byte(`{}`))
	f.Add("", []byte(``))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		r, err := client.DecodeEntry(subject, data)
		if err != nil {
			return
		}
		if (r.Event == nil) == (r.Decision == nil) {
			t.Errorf("%s %s is %+v", subject, data, r)
		}
		_ = r.Time()
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("accepted, but does not encode: %v", err)
		}
	})
}
