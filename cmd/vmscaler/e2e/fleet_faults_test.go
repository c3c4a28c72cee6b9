//go:build fleet

package e2e

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vmscaler/vmscaler/bus"
)

// fault says that what follows is done to the fleet now.
func (f *hostFleet) fault(what string) {
	f.began = time.Now()
	f.t.Logf("   0.0 s: %s (%s)", what, f.where())
}

// cut takes a host's link down: what it sends and is sent vanishes. Its VMs may be one's own that were replaced from now on.
func (h *fleetHost) cut() {
	h.f.t.Helper()
	h.excused = true
	h.f.fabric.do("ip", "link", "set", h.port, "down")
}

// mend takes it up again.
func (h *fleetHost) mend() {
	h.f.t.Helper()
	h.f.fabric.do("ip", "link", "set", h.port, "up")
}

// powerOff cuts a host and ends all on it at once, so that not one packet tells of it.
func (h *fleetHost) powerOff() {
	h.f.t.Helper()
	h.cut()
	h.dead = true
	for _, p := range h.procs {
		p.willEnd()
	}
	h.killAll()
	for _, p := range h.procs {
		<-p.done
	}
	_ = h.l.cmd.Wait()
}

// powerOn starts all that starts with a host. Its VMs are off.
func (h *fleetHost) powerOn() {
	t := h.f.t
	t.Helper()
	h.mend()
	h.l.start()
	h.w.reconnect()
	pool, err := h.w.conn.LookupStoragePoolByName(h.w.pool)
	if err != nil {
		t.Fatal(err)
	}
	if active, err := pool.IsActive(); err == nil && !active {
		err = pool.Create(0)
		if err != nil {
			t.Fatal(err)
		}
	}
	_ = pool.Free()
	h.dead = false
	h.startNATS()
	h.startStages()
}

// mute drops what the processes of a group of users send.
func (h *fleetHost) mute(group int) { h.rule("-A", group) }

// unmute lets it pass again.
func (h *fleetHost) unmute(group int) { h.rule("-D", group) }

func (h *fleetHost) rule(verb string, group int) {
	h.f.t.Helper()
	h.do("iptables", verb, "OUTPUT", "-m", "owner", "--gid-owner", strconv.Itoa(group), "-j", "DROP")
}

// deaf drops, or lets pass again, what comes in from the other hosts; what the host sends passes.
func (h *fleetHost) deaf(is bool) {
	h.f.t.Helper()
	verb := "-D"
	if is {
		verb, h.excused = "-A", true
	}
	h.do("iptables", verb, "INPUT", "-i", "eth0", "-j", "DROP")
}

// leader is the host whose decider leads, by the lock itself.
func (f *hostFleet) leader() *fleetHost {
	f.t.Helper()
	var found *fleetHost
	f.until(fleetStep, "a decider leads", func() error {
		js, err := jetstream.New(f.conns[0].NATS())
		if err != nil {
			return err
		}
		kv, err := js.KeyValue(f.t.Context(), bus.LockBucket)
		if err != nil {
			return err
		}
		entry, err := kv.Get(f.t.Context(), "leader")
		if err != nil {
			return err
		}
		var value struct{ Holder string }
		if err := json.Unmarshal(entry.Value(), &value); err != nil {
			return err
		}
		for _, h := range f.deciders {
			if containsAll(value.Holder, h.name) {
				found = h
				return nil
			}
		}
		return fmt.Errorf("%q is of no host", value.Holder)
	})
	return found
}

// leadStreams makes a host's server the leader of the cluster and of each of its streams.
func (f *hostFleet) leadStreams(h *fleetHost) {
	f.t.Helper()
	sys, err := nats.Connect(h.remote().URL, nats.UserInfo("sys", "sys"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer sys.Close()
	prefer := []byte(`{"placement":{"preferred":"` + h.name + `"}}`)
	f.until(fleetStep, h.name+"'s server leads the cluster", func() error {
		leads, err := f.leads("")
		if err != nil || leads == h.name {
			return err
		}
		if _, err := sys.Request("$JS.API.META.LEADER.STEPDOWN", prefer, 2*time.Second); err != nil {
			return err
		}
		return fmt.Errorf("%s leads", leads)
	})
	for _, stream := range []string{"KV_" + bus.LockBucket, "KV_" + bus.StateBucket, bus.HistoryStream} {
		f.until(fleetStep, h.name+"'s server leads "+stream, func() error {
			leads, err := f.leads(stream)
			if err != nil || leads == h.name {
				return err
			}
			if _, err := f.conns[0].NATS().Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, prefer, 2*time.Second); err != nil {
				return err
			}
			return fmt.Errorf("%s leads", leads)
		})
	}
}

// leads is the server that leads a stream; "" is the cluster itself.
func (f *hostFleet) leads(stream string) (string, error) {
	if stream == "" {
		sys, err := nats.Connect(f.hosts[0].remote().URL, nats.UserInfo("sys", "sys"))
		if err != nil {
			return "", err
		}
		defer sys.Close()
		answer, err := sys.Request("$SYS.REQ.SERVER.PING.JSZ", nil, 2*time.Second)
		if err != nil {
			return "", err
		}
		var jsz struct {
			Data struct {
				Meta struct {
					Leader string `json:"leader"`
				} `json:"meta_cluster"`
			} `json:"data"`
		}
		if err := json.Unmarshal(answer.Data, &jsz); err != nil {
			return "", err
		}
		return jsz.Data.Meta.Leader, nil
	}
	js, err := jetstream.New(f.conns[0].NATS())
	if err != nil {
		return "", err
	}
	s, err := js.Stream(f.t.Context(), stream)
	if err != nil {
		return "", err
	}
	if s.CachedInfo().Cluster == nil {
		return "", fmt.Errorf("%s is not clustered", stream)
	}
	return s.CachedInfo().Cluster.Leader, nil
}

// others are all hosts but some.
func (f *hostFleet) others(but ...*fleetHost) (others []*fleetHost) {
	for _, h := range f.hosts {
		is := false
		for _, b := range but {
			is = is || b == h
		}
		if !is {
			others = append(others, h)
		}
	}
	return others
}

// must runs a command of the program against the bus.
func (f *hostFleet) must(args ...string) string {
	f.t.Helper()
	urls := ""
	for _, h := range f.hosts {
		if !h.dead {
			urls += "," + h.remote().URL
		}
	}
	return f.hosts[0].w.must(append(args, "--nats-url", urls[1:], "--nats-nkey", f.nkey)...)
}
