package decider

import (
	"errors"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

func TestCommonCluster(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hosts []string // the clusters that they belong to
		want  string
	}{
		{"no host", nil, ""},
		{"hosts of none", []string{"", ""}, ""},
		{"one", []string{"", "a"}, "a"},
		{"most", []string{"a", "b", "b"}, "b"},
		{"as many of two", []string{"b", "a"}, "a"},
	} {
		stages := map[string]bus.Health{}
		for i, id := range tt.hosts {
			stages[string(rune('a'+i))] = bus.Health{Stage: "actuator", Acts: &bus.Acts{ClusterID: id}}
		}
		if got := commonCluster(stages); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// startLater runs a decider whose clock is ahead, so that it has listened for long enough after its first round.
func (f *fleet) startLater(name string, ahead *atomic.Int64) (stop func()) {
	f.t.Helper()
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	d, err := New(Config{Groups: []bus.Group{f.spec}, Instance: name, Now: now}, f.connect("decider"), zerolog.Nop())
	if err != nil {
		f.t.Fatal(err)
	}
	return running(f.t, d)
}

func (f *fleet) keptCluster() (id string) {
	f.t.Helper()
	if err := f.connect("decider").Load(f.t.Context(), clusterKey, &id); err != nil && !errors.Is(err, client.ErrNotKept) {
		f.t.Fatal(err)
	}
	return id
}

// A bus that has no name yet gets one, which its deciders keep; without the state that had it, it is what they have heard.
func TestClusterHasOneName(t *testing.T) {
	f := startFleet(t)
	var ahead atomic.Int64
	stop := f.startLater("a", &ahead)
	f.until("a decision without a name", 1, func(d bus.Decision) bool { return d.ClusterID == "" })
	ahead.Store(int64(2 * clusterAfter))
	id := f.until("one with a name", 1, func(d bus.Decision) bool { return d.ClusterID != "" }).ClusterID
	if !regexp.MustCompile("^[0-9a-f]{16}$").MatchString(id) || f.keptCluster() != id {
		t.Fatalf("it is called %q, and kept is %q", id, f.keptCluster())
	}
	stop()
	stop = f.start("b")
	first := f.until("a decision of the next one", 1, func(d bus.Decision) bool { return d.Seq == 1 })
	if first.ClusterID != id {
		t.Fatalf("the next decider says %q, want %q", first.ClusterID, id)
	}
	js, err := jetstream.New(f.conn.NATS())
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), bus.StateBucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Purge(t.Context(), clusterKey); err != nil {
		t.Fatal(err)
	}
	defer f.start("c")()
	c := f.until("c is there", 1, func(d bus.Decision) bool { return d.Seq > first.Seq+2 })
	stop()
	d := f.until("c decides", 1, func(d bus.Decision) bool { return d.Term > c.Term })
	if d.ClusterID != id {
		t.Errorf("the decider that has heard it says %q, want %q", d.ClusterID, id)
	}
	f.until("it is kept again", 1, func(bus.Decision) bool { return f.keptCluster() == id })
}

// A bus that has lost its state, and all its deciders, is called what its hosts say.
func TestClusterOfItsHosts(t *testing.T) {
	f := startFleet(t)
	var ahead atomic.Int64
	defer f.startLater("a", &ahead)()
	f.until("a decision without a name", 1, func(d bus.Decision) bool { return d.ClusterID == "" })
	health := bus.Health{
		V: bus.Version, Stage: "actuator", Instance: "kvm1-1", OK: true, Time: time.Now(), Since: time.Now(),
		Acts: &bus.Acts{HostID: "kvm1", Full: []string{}, Taken: map[string][]int{}, ClusterID: "5f0c2b9a71e4d386"},
	}
	f.until("the actuator is heard", 1, func(bus.Decision) bool {
		if err := f.conn.Publish(&health); err != nil {
			t.Fatal(err)
		}
		status, err := client.Ask[bus.Status](t.Context(), f.conn, bus.VerbStatus, bus.Query{})
		return err == nil && len(status.Stages) > 0
	})
	ahead.Store(int64(2 * clusterAfter))
	d := f.until("one with a name", 1, func(d bus.Decision) bool { return d.ClusterID != "" })
	if d.ClusterID != "5f0c2b9a71e4d386" || f.keptCluster() != d.ClusterID {
		t.Errorf("it is called %q, and kept is %q", d.ClusterID, f.keptCluster())
	}
}

// What a decider of another cluster decides is gone by nobody.
func TestDeciderOfAnotherCluster(t *testing.T) {
	f := startFleet(t)
	d, err := New(Config{Groups: []bus.Group{f.spec}}, f.connect("decider"), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	d.cluster.id = "a"
	for id, want := range map[string]bool{"": true, "a": true, "b": false} {
		if got := d.ofCluster(bus.Decision{Group: "web", ClusterID: id}); got != want {
			t.Errorf("of %q: %v, want %v", id, got, want)
		}
	}
}

// A name that another decider has kept, and that cannot be read at first, is read later in the same term.
func TestClusterIsReadAgain(t *testing.T) {
	f := startFleet(t)
	d, err := New(Config{Groups: []bus.Group{f.spec}}, f.connect("decider"), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	d.term, d.cluster = 7, cluster{term: 7, since: now.Add(-clusterAfter)}
	if err := d.conn.Save(t.Context(), clusterKey, ""); err != nil {
		t.Fatal(err)
	}
	d.nameCluster(t.Context(), now)
	if d.cluster.id != "" {
		t.Fatalf("it is called %q", d.cluster.id)
	}
	const id = "5f0c2b9a71e4d386"
	if err := d.conn.Save(t.Context(), clusterKey, id); err != nil {
		t.Fatal(err)
	}
	d.nameCluster(t.Context(), now.Add(clusterAfter))
	if d.cluster.id != id {
		t.Errorf("it is called %q, want %q", d.cluster.id, id)
	}
}
