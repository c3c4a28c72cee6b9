package actuator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

func TestRestAfter(t *testing.T) {
	for n, want := range map[int]time.Duration{
		1: 5 * time.Second, 2: 10 * time.Second, 3: 20 * time.Second, 6: 160 * time.Second, 7: 5 * time.Minute, 8: 5 * time.Minute,
		1 << 20: 5 * time.Minute,
	} {
		if got := retryAfter(n); got != want {
			t.Errorf("after %d tries: %s, want %s", n, got, want)
		}
	}
}

// A removal that cannot succeed was tried every five seconds forever, with two events each: they pushed the history out.
func TestFailedRemovalsAreSaidOnce(t *testing.T) {
	var r removalRetry
	now, said := t0, 0
	for now.Before(t0.Add(24 * time.Hour)) {
		var say bool
		if r, say = r.failed("the pool is gone", now); say {
			said++
		}
		now = r.until
	}
	if said < 24 || said > 25 {
		t.Errorf("said %d times in a day, want once an hour", said)
	}
	if r.tries > 300 {
		t.Errorf("%d tries in a day, want one in 5 minutes", r.tries)
	}
	r.vm, r.group = "web-1", "web"
	if _, say := r.failed("the pool is not active", now); !say {
		t.Error("another cause is not said")
	}
	if e := r.event(); e.VM != "web-1" || e.Group != "web" || e.Event != bus.EventFailed || e.Error != "the pool is gone" ||
		!strings.Contains(e.Sentence, "times in a row, next try in 5m0s") {
		t.Errorf("event %+v", e)
	}
	if next, say := (removalRetry{}).failed("refused", t0); !say || next.event().Sentence != "removing failed, next try in 5s" {
		t.Errorf("the first one: %v %+v", say, next.event())
	}
}

func TestRestProblems(t *testing.T) {
	at := func(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }
	one := removalRetry{vm: "web-1", tries: 3, cause: "the pool is gone", until: at(20)}
	many := []removalRetry{
		{vm: "web-4", tries: 1, cause: "the pool is gone", until: at(5)},
		{vm: "web-3", tries: 1, cause: "the pool is gone", until: at(9)},
		{vm: "web-2", tries: 1, cause: "the pool is gone", until: at(9)},
		one,
		{vm: "web-5", tries: 2, cause: "busy", until: at(7)},
	}
	clock := func(seconds int) string { return at(seconds).Local().Format(time.TimeOnly) }
	for _, tt := range []struct {
		name          string
		retries       []removalRetry
		desired, most int
		want          []string
	}{
		{"none", nil, 3, 3, nil},
		{"one, and there is room beside it", []removalRetry{one}, 2, 3, []string{
			"cannot remove web-1 (tries: 3, next at " + clock(20) + "): the pool is gone",
		}},
		{"one that keeps another from being made", []removalRetry{one}, 3, 3, []string{
			"cannot remove web-1 (tries: 3, next at " + clock(20) + "): the pool is gone",
			"VMs that cannot be removed count toward max 3: no more than 2 of the 3 wanted here can be there",
		}},
		{"nothing is wanted, as nothing is known", []removalRetry{one}, Unknown, 1, []string{
			"cannot remove web-1 (tries: 3, next at " + clock(20) + "): the pool is gone",
		}},
		{"many", many, 1, 3, []string{
			"cannot remove web-5 (tries: 2, next at " + clock(7) + "): busy",
			"cannot remove web-1, web-2, web-3 and 1 more (tries: 3, next at " + clock(5) + "): the pool is gone",
			"VMs that cannot be removed count toward max 3: no more than 0 of the 1 wanted here can be there",
		}},
	} {
		var got []string
		for _, trouble := range retryTroubles("web", tt.retries, tt.desired, tt.most) {
			got = append(got, strings.TrimPrefix(trouble.Text, "group web: "))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

// TestRemovalThatCannotSucceed: the pool of a VM is not active. The VM is named in the stage's health with what mends it,
// what is done is said once, and with the pool there again the VM goes.
func TestRemovalThatCannotSucceed(t *testing.T) {
	b := newHost(t)
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	clock := newClock(t0)
	s := startStage(t, b, webSpec(func(g *bus.Group) { g.Min, g.Max = 1, 1 }), dialTest, func(c *Config) { c.Now = clock.now })
	s.want(1, "the VM is taken over", b.ready(1))
	pool, err := b.conn.LookupStoragePoolByName(testPool)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Free()
	if err := pool.Destroy(); err != nil {
		t.Fatal(err)
	}
	dom, err := b.conn.LookupDomainByName("web-1")
	if err != nil {
		t.Fatal(err)
	}
	defer dom.Free()
	if err := dom.Destroy(); err != nil {
		t.Fatal(err)
	}
	problem := ""
	reported := func(words ...string) func() bool {
		return func() bool {
			for {
				select {
				case err := <-s.reports:
					if problem = ""; err != nil {
						problem = err.Error()
					}
				default:
					for _, word := range words {
						if !strings.Contains(problem, word) {
							return false
						}
					}
					return problem != "" || len(words) == 0
				}
			}
		}
	}
	s.want(1, "health names the VM, the cause and what mends it", reported(
		"cannot remove web-1 (tries: 1",
		"is not active",
		"virsh -c test:///default pool-start default-pool",
		"count toward max 1: no more than 0 of the 1",
	))
	for n := 2; n <= 5; n++ {
		clock.add(retryAfter(n))
		s.want(1, "it is tried again", reported(fmt.Sprintf("web-1 (tries: %d", n)))
	}
	if err := pool.Create(0); err != nil {
		t.Fatal(err)
	}
	clock.add(longestRest)
	s.want(1, "it is replaced", func() bool {
		inv := b.inventory()
		return len(inv.Owned) == 1 && inv.Owned[0].UUID != someUUID
	})
	s.stop()
	events := map[string]int{}
	for len(s.events) > 0 {
		if e := <-s.events; e.VM == "web-1" {
			events[string(e.Event)]++
		}
	}
	for _, e := range []bus.EventType{bus.EventFailed, bus.EventDied, bus.EventStopping} {
		if events[string(e)] != 1 {
			t.Errorf("%d events %s, want one: %v", events[string(e)], e, events)
		}
	}
}

// What is not in any pool may be there all the same: then the domain, which says whose it is, must stay.
func TestLostPoolKeepsTheDomain(t *testing.T) {
	b := newHost(t)
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	b.withPool(func(pool *libvirt.StoragePool) {
		if err := pool.Destroy(); err != nil {
			t.Fatal(err)
		}
	})
	theVM := func() vm.VM {
		inv, err := vm.ReadInventory(b.conn)
		if err != nil || len(inv.Owned) != 1 {
			t.Fatalf("owned %+v, %v", inv.Owned, err)
		}
		return inv.Owned[0]
	}
	err := b.Remove(t.Context(), vm.Removal{VM: theVM()}, bus.Group{}, nil, "d")
	if err == nil || !strings.Contains(err.Error(), "not active") {
		t.Fatalf("got %v", err)
	}
	b.withPool(func(pool *libvirt.StoragePool) {
		if err := pool.Undefine(); err != nil {
			t.Fatal(err)
		}
	})
	err = b.Remove(t.Context(), vm.Removal{VM: theVM()}, bus.Group{}, nil, "d")
	if err == nil || !strings.Contains(err.Error(), "no storage pool has the folder /default-pool") ||
		!strings.Contains(
			err.Error(),
			"virsh -c test:///default pool-define-as default-pool dir --target /default-pool && virsh -c test:///default pool-start "+
				"default-pool",
		) {
		t.Fatalf("got %v", err)
	}
	// A pool of another name and the same folder has it; that of its own name has another one.
	for _, p := range []struct{ name, dir string }{{"default-pool", "/elsewhere"}, {"fast", "/default-pool"}} {
		pool, err := b.conn.StoragePoolCreateXML(
			fmt.Sprintf(`<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>`, p.name, p.dir),
			0,
		)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Free()
		if p.name == "default-pool" {
			if err := b.Remove(t.Context(), vm.Removal{VM: theVM()}, bus.Group{}, nil, "d"); err == nil ||
				!strings.Contains(err.Error(), "another folder than /default-pool") {
				t.Errorf("got %v", err)
			}
			continue
		}
		vol, err := pool.StorageVolCreateXML(
			fmt.Sprintf(`<volume><name>%s</name><capacity>1</capacity></volume>`, theVM().Meta.Volume),
			0,
		)
		if err != nil {
			t.Fatal(err)
		}
		defer vol.Free()
	}
	if err := b.Remove(t.Context(), vm.Removal{VM: theVM()}, bus.Group{}, nil, "d"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.conn.LookupStorageVolByPath("/default-pool/web-1.5c0d2a9e.qcow2"); !errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
		t.Errorf("its volume: %v, want it deleted", err)
	}
	if inv, err := vm.ReadInventory(b.conn); err != nil || len(inv.Owned) > 0 {
		t.Errorf("owned %+v, %v", inv.Owned, err)
	}
}

// clock is one that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock(at time.Time) *clock { return &clock{at: at} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
