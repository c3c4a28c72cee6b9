package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// plainServer is a NATS server that is not ours, as people may have one.
func plainServer(t testing.TB, options server.Options) string {
	t.Helper()
	options.Host, options.Port, options.NoSigs, options.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	ns, err := server.NewServer(&options)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(limitTime) {
		t.Fatal("the server does not start")
	}
	return ns.ClientURL()
}

// readAll is what the history has.
func readAll(t testing.TB, c *Conn, q HistoryQuery) (records []Record) {
	t.Helper()
	err := ReadHistory(limit(t), c, q, func(r Record) error { records = append(records, r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// what is a record in short: the group, and what happened.
func what(r Record) string {
	if r.Event != nil {
		return r.Event.Group + " " + r.Event.VM + " " + string(r.Event.Event)
	}
	return r.Decision.Group + " " + string(r.Decision.Direction)
}

func whats(records []Record) (all []string) {
	for _, r := range records {
		all = append(all, what(r))
	}
	return all
}

func event(group, vm string, at time.Time) *Event {
	e := exampleEvent()
	e.Group, e.VM, e.Time = group, vm, at
	return e
}

func decision(group string, d Direction, at time.Time) *Decision {
	m := exampleDecision()
	m.Group, m.Direction, m.Time = group, d, at
	return m
}

func publishAll(t testing.TB, c *Conn, messages ...outgoing) {
	t.Helper()
	for _, m := range messages {
		if err := c.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}

// keptRecords waits until the history has taken this many; it does so after the publisher was told.
func keptRecords(t testing.TB, c *Conn, n uint64) {
	t.Helper()
	js, err := jetstream.New(c.nc)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, fmt.Sprintf("%d records are kept", n), func() bool {
		stream, err := js.Stream(limit(t), HistoryStream)
		return err == nil && stream.CachedInfo().State.LastSeq == n
	})
}

// Kept is what changed something, over a restart as well; what is said again each tick is not.
func TestHistoryKeepsWhatHappened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := StartServer(ServerConfig{Listen: "127.0.0.1:0", StateDir: dir}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	stage, err := s.Connect("stage", quiet)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, stage, HistoryQuery{}); len(got) > 0 {
		t.Errorf("at the beginning: %v", whats(got))
	}
	publishAll(t, stage,
		exampleSample(), decision("web", Hold, noon), decision("web", Out, noon), exampleHealth(), event("web", "web-1", noon),
		event("web", "", noon), decision("web", "", noon), decision("db", In, noon))
	publish(t, stage, "vmscaler.ctl.status", []byte(`{}`))
	publish(t, stage, "vmscaler.ctl.scale", []byte(`{}`))
	publishAll(t, stage, event("db", "kvm.example.org", noon))
	want := []string{"web out", "web web-1 failed", "web  failed", "db in", "db kvm.example.org failed"}
	keptRecords(t, stage, uint64(len(want)))
	got := readAll(t, stage, HistoryQuery{})
	if !slices.Equal(whats(got), want) {
		t.Errorf("got  %q\nwant %q", whats(got), want)
	}
	if r := got[0]; r.Event != nil || r.Decision.Sentence != exampleDecision().Sentence || !r.Time().Equal(noon) {
		t.Errorf("got %+v", r)
	}
	if r := got[1]; r.Decision != nil || r.Event.Error != exampleEvent().Error || !r.Time().Equal(noon) {
		t.Errorf("got %+v", r)
	}
	stage.Close()
	s.Stop()

	s = startWith(t, ServerConfig{StateDir: dir})
	operator := dialAs(t, s, dir, RoleOperator, quiet)
	if got := whats(readAll(t, operator, HistoryQuery{})); !slices.Equal(got, want) {
		t.Errorf("after a restart: got  %q\nwant %q", got, want)
	}
	publishAll(t, dialAs(t, s, dir, RoleActuator, quiet), event("web", "web-2", noon))
	keptRecords(t, operator, uint64(len(want))+1)
	if got := whats(readAll(t, operator, HistoryQuery{})); !slices.Equal(got, append(want, "web web-2 failed")) {
		t.Errorf("after the restart, and one more: %q", got)
	}
}

func TestHistoryQuery(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startWith(t, ServerConfig{StateDir: dir})
	stage, operator := join(t, s, "stage"), dialAs(t, s, dir, RoleOperator, quiet)
	// Names that are prefixes of each other, or look like another's after a careless escape.
	publishAll(t, stage, event("web", "1", noon), event("web-a", "2", noon), decision("we", Out, noon), decision("web", In, noon), event("db", "web", noon))
	keptRecords(t, stage, 5)
	js, err := jetstream.New(stage.nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(limit(t), HistoryStream)
	if err != nil {
		t.Fatal(err)
	}
	keptAt := func(seq uint64) time.Time {
		msg, err := stream.GetMsg(limit(t), seq)
		if err != nil {
			t.Fatal(err)
		}
		return msg.Time
	}
	for _, tt := range []struct {
		name string
		q    HistoryQuery
		want []string
	}{
		{"all", HistoryQuery{}, []string{"web 1 failed", "web-a 2 failed", "we out", "web in", "db web failed"}},
		{"a group", HistoryQuery{Group: "web"}, []string{"web 1 failed", "web in"}},
		{"another group", HistoryQuery{Group: "we"}, []string{"we out"}},
		{"a group that is none", HistoryQuery{Group: "nobody"}, nil},
		{"a group that looks like a wildcard", HistoryQuery{Group: "*"}, nil},
		{"a group that looks like more", HistoryQuery{Group: "web.>"}, nil},
		{"since the fourth", HistoryQuery{Since: keptAt(4)}, []string{"web in", "db web failed"}},
		{"a group since the second", HistoryQuery{Group: "web", Since: keptAt(2)}, []string{"web in"}},
		{"since the future", HistoryQuery{Since: time.Now().Add(time.Hour)}, nil},
		{"since long ago", HistoryQuery{Group: "db", Since: noon}, []string{"db web failed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := whats(readAll(t, operator, tt.q)); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("the reader stops", func(t *testing.T) {
		enough, n := errors.New("enough"), 0
		err := ReadHistory(limit(t), operator, HistoryQuery{}, func(Record) error { n++; return enough })
		if !errors.Is(err, enough) || n != 1 {
			t.Errorf("got %v after %d", err, n)
		}
	})
}

func TestHistoryFollow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startWith(t, ServerConfig{StateDir: dir})
	stage, operator := join(t, s, "stage"), dialAs(t, s, dir, RoleOperator, quiet)
	publishAll(t, stage, event("web", "before", noon))
	keptRecords(t, stage, 1)
	for _, tt := range []struct {
		name string
		q    HistoryQuery
		want []string
	}{
		{"from the beginning", HistoryQuery{Group: "web", Follow: true}, []string{"web before failed", "web after failed", "web out"}},
		{"from now on", HistoryQuery{Group: "db", Follow: true}, []string{"db after failed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			records, done := make(chan Record, 16), make(chan error, 1)
			go func() {
				done <- ReadHistory(ctx, operator, tt.q, func(r Record) error { records <- r; return nil })
			}()
			for i, want := range tt.want {
				if i == len(tt.want)-1 || i == 1 && len(tt.want) == 3 { // all that is old was read
					break
				}
				if got := what(receive(t, records, "record")); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			publishAll(t, stage, decision("web", Hold, noon), event("db", "after", noon), event("web", "after", noon), decision("web", Out, noon))
			for _, want := range tt.want[max(0, len(tt.want)-2):] {
				if got := what(receive(t, records, "record")); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			cancel()
			if err := receive(t, done, "end"); !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// A record that cannot be read is told, and does not hide the others.
func TestHistoryLeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startWith(t, ServerConfig{StateDir: dir})
	stage := join(t, s, "stage")
	bad := [][2]string{
		{"vmscaler.lifecycle.web.1.ready", `{`},
		{"vmscaler.decision.web.out", `{"v":99,"group":"web","id":"x","expires_at":"2026-05-04T12:00:00Z"}`},
		{"vmscaler.lifecycle.web", ``},
		{"vmscaler.decision.web.in", `null`},
	}
	for _, m := range bad {
		publish(t, stage, m[0], []byte(m[1]))
	}
	publishAll(t, stage, event("web", "1", noon))
	publish(t, stage, bad[0][0], []byte(bad[0][1])) // the last one, too
	keptRecords(t, stage, 6)
	var log logLines
	operator := dialAs(t, s, dir, RoleOperator, log.logger())
	var skipped []string
	got := whats(readAll(t, operator, HistoryQuery{Skipped: func(subject string, why error) { skipped = append(skipped, fmt.Sprintf("%s: %v", subject, why)) }}))
	if !slices.Equal(got, []string{"web 1 failed"}) {
		t.Errorf("got %q", got)
	}
	if len(skipped) != 5 || !strings.HasPrefix(skipped[0], bad[0][0]+": decode") {
		t.Errorf("skipped %q, want 5", skipped)
	}
	// Each `vmscaler explain` reads it: they were told when they were sent, and stay for a week.
	if lines := log.with(`"level":"warn"`); len(lines) != 0 {
		t.Errorf("logged %q", lines)
	}
}

// Nobody can push the history out with a few messages, and what repeats without end pushes out only itself.
func TestHistoryIsNotPushedOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startWith(t, ServerConfig{StateDir: dir})
	actuator := dialAs(t, s, dir, RoleActuator, quiet)
	first := event("web", "1", noon)
	publishAll(t, actuator, first)
	keptRecords(t, join(t, s, "stage"), 1)
	for range 20 { // 80 MiB, more than is kept
		publish(t, actuator, "vmscaler.lifecycle.web.2.ready", bytes.Repeat([]byte("x"), maxPayload))
	}
	loop := event("web", "3", noon)
	const again = historyPerSubject + 20
	for i := range again {
		loop.ElapsedMS = int64(i)
		if err := actuator.Publish(loop); err != nil {
			t.Fatal(err)
		}
	}
	if err := actuator.Flush(); err != nil {
		t.Fatal(err)
	}
	keptRecords(t, join(t, s, "stage"), 1+again)
	records := readAll(t, join(t, s, string(RoleOperator)), HistoryQuery{})
	if len(records) != 1+historyPerSubject || records[0].Event.VM != first.VM {
		t.Errorf("%d records are left, the first of VM %s; want %d with that of VM %s", len(records), records[0].Event.VM, 1+historyPerSubject, first.VM)
	}
}

// The largest messages that are allowed are kept, and many of them can be read.
func TestHistoryOfLargeMessages(t *testing.T) {
	t.Parallel()
	s := startWith(t, ServerConfig{StateDir: t.TempDir()})
	stage := join(t, s, "stage")
	d := decisionOf(MaxHosts)
	d.Wishes = make([]Wish, 30)
	for i := range d.Wishes {
		d.Wishes[i].Sentence = strings.Repeat("x", MaxText)
	}
	const many = 200
	for i := range many {
		d.Seq = uint64(i)
		publishAll(t, stage, d)
	}
	keptRecords(t, stage, many)
	if got := len(readAll(t, join(t, s, string(RoleOperator)), HistoryQuery{})); got != many {
		t.Errorf("read %d, want %d", got, many)
	}
}

// A stream that was made before its messages had a bound gets one, and keeps its other limits.
func TestHistoryGetsABound(t *testing.T) {
	t.Parallel()
	s := startWith(t, ServerConfig{StateDir: t.TempDir()})
	stage := join(t, s, "stage")
	js, err := jetstream.New(stage.nc)
	if err != nil {
		t.Fatal(err)
	}
	old := historyConfig()
	old.MaxMsgSize, old.MaxAge = -1, time.Hour
	if _, err := js.UpdateStream(limit(t), old); err != nil {
		t.Fatal(err)
	}
	if err := EnsureHistory(limit(t), stage); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(limit(t), HistoryStream)
	if err != nil {
		t.Fatal(err)
	}
	if cfg := stream.CachedInfo().Config; cfg.MaxMsgSize != historyMessage || cfg.MaxAge != time.Hour {
		t.Errorf("got %d and %s", cfg.MaxMsgSize, cfg.MaxAge)
	}
}

func TestNoHistory(t *testing.T) {
	t.Parallel()
	none := func(t *testing.T, c *Conn) {
		t.Helper()
		if err := EnsureHistory(limit(t), c); !errors.Is(err, ErrNoHistory) {
			t.Errorf("EnsureHistory: %v", err)
		}
		for _, follow := range []bool{false, true} {
			err := ReadHistory(limit(t), c, HistoryQuery{Follow: follow}, func(Record) error { return errors.New("there is one") })
			if !errors.Is(err, ErrNoHistory) {
				t.Errorf("ReadHistory, follow %t: %v", follow, err)
			}
		}
	}
	t.Run("embedded, no state folder", func(t *testing.T) {
		t.Parallel()
		none(t, join(t, startWith(t, ServerConfig{}), "stage"))
	})
	t.Run("another server, no JetStream", func(t *testing.T) {
		t.Parallel()
		c, err := DialNow(Remote{URL: plainServer(t, server.Options{})}, "actuator", quiet)
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
		c, err := DialNow(Remote{URL: plainServer(t, server.Options{JetStream: true, StoreDir: t.TempDir()})}, "actuator", quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = ReadHistory(limit(t), c, HistoryQuery{}, func(Record) error { return nil })
		if !errors.Is(err, ErrNoHistory) {
			t.Errorf("before it is made: %v", err)
		}
		for range 2 {
			if err := EnsureHistory(limit(t), c); err != nil {
				t.Fatal(err)
			}
		}
		publishAll(t, c, exampleSample(), event("web", "1", noon))
		keptRecords(t, c, 1)
		if got := whats(readAll(t, c, HistoryQuery{})); !slices.Equal(got, []string{"web 1 failed"}) {
			t.Errorf("got %q", got)
		}
	})
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startWith(t, ServerConfig{StateDir: dir})
	for name, c := range map[string]*Conn{
		"in the process": join(t, s, "stage"), "role": dialAs(t, s, dir, RoleActuator, quiet), "tap": dialAs(t, s, "", RoleTap, quiet),
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
	s, err := StartServer(ServerConfig{Listen: "127.0.0.1:0", StateDir: dir}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	stage, err := s.Connect("stage", quiet)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(stage.nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(limit(t), HistoryStream)
	if err != nil {
		t.Fatal(err)
	}
	if cfg := stream.CachedInfo().Config; cfg.MaxAge != HistoryAge || cfg.MaxBytes != historyBytes || cfg.Storage != jetstream.FileStorage || cfg.Discard != jetstream.DiscardOld {
		t.Errorf("made as %+v", cfg)
	}
	changed := historyConfig()
	changed.MaxAge, changed.MaxBytes = time.Hour, 1<<20
	if _, err := js.UpdateStream(limit(t), changed); err != nil {
		t.Fatal(err)
	}
	if err := EnsureHistory(limit(t), stage); err != nil {
		t.Fatal(err)
	}
	stage.Close()
	s.Stop()
	s = startWith(t, ServerConfig{StateDir: dir})
	js, err = jetstream.New(join(t, s, "stage").nc)
	if err != nil {
		t.Fatal(err)
	}
	if stream, err = js.Stream(limit(t), HistoryStream); err != nil {
		t.Fatal(err)
	}
	if cfg := stream.CachedInfo().Config; cfg.MaxAge != changed.MaxAge || cfg.MaxBytes != changed.MaxBytes {
		t.Errorf("now it is %+v", cfg)
	}
}

// Who has read the history leaves nothing on the server.
func TestHistoryReadersLeaveNothing(t *testing.T) {
	t.Parallel()
	s := startWith(t, ServerConfig{Listen: "127.0.0.1:0", StateDir: t.TempDir()})
	conn := join(t, s, "test")
	publishAll(t, conn, event("web", "web-1", noon))
	keptRecords(t, conn, 1)
	operator, err := DialNow(Remote{URL: s.URL(), Nkey: CredentialsFile(s.state.dir, RoleOperator)}, string(RoleOperator), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close()
	for range 3 {
		if got := len(readAll(t, operator, HistoryQuery{})); got != 1 {
			t.Errorf("%d records", got)
		}
	}
	js, err := jetstream.New(conn.nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(limit(t), HistoryStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers are left", n)
	}
}
