package staging

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

var digestA, digestB = strings.Repeat("1a", 32), strings.Repeat("2b", 32)

// offering is a peer of a name that has a template.
func offering(host, name, digest string, state bus.TemplateState) peer {
	return peer{
		serves:    bus.TemplateServer{Host: host, Addresses: []string{host + ":4223"}, Fingerprint: "fp-" + host},
		templates: []bus.HostTemplate{{Name: name, State: state, SHA256: digest, SizeBytes: 5}},
	}
}

// What is fetched is what all that offer it have, or what the config says; of what is not clear nothing is fetched.
func TestChoose(t *testing.T) {
	a, b := offering("a", "web", digestA, bus.TemplateReady), offering("b", "web", digestA, bus.TemplateReady)
	other := offering("c", "web", digestB, bus.TemplateReady)
	silent := a
	silent.serves.Addresses = nil
	for _, tt := range []struct {
		name    string
		digest  string // that the config says
		peers   []peer
		shunned []shun
		want    string // hosts, or the problem; "": nobody offers it
	}{
		{"nobody", "", nil, nil, ""},
		{"one", "", []peer{a}, nil, "a " + digestA},
		{"two that have the same", "", []peer{a, b}, nil, "a b " + digestA},
		{"two that differ", "", []peer{a, other}, nil, "differs"},
		{"two that differ, and the config says which", digestB, []peer{a, other}, nil, "c " + digestB},
		{"none as the config says", digestB, []peer{a, b}, nil, ""},
		{"of another name", "", []peer{offering("a", "db", digestA, bus.TemplateReady)}, nil, ""},
		{"that comes there itself", "", []peer{offering("a", "web", digestA, bus.TemplateFetching)}, nil, ""},
		{"of no known digest", "", []peer{offering("a", "web", "", bus.TemplateReady)}, nil, ""},
		{"that hands out nothing", "", []peer{silent}, nil, ""},
		{"one that has sent another file", "", []peer{a, b}, []shun{{"fp-a", digestA}}, "b " + digestA},
		{"one that has sent another file of another digest", "", []peer{a}, []shun{{"fp-a", digestB}}, "a " + digestA},
	} {
		peers, shunned := map[bus.HostID]peer{}, map[shun]time.Time{}
		for i, p := range tt.peers {
			peers[bus.HostID(fmt.Sprint(i))] = p
		}
		for _, s := range tt.shunned {
			shunned[s] = time.Time{}
		}
		s, found, problem := choose(Wanted{"web", tt.digest}, peers, shunned)
		var got []string
		for _, from := range s.from {
			got = append(got, from.Host)
		}
		if found {
			got = append(got, s.digest)
		}
		if problem != nil {
			got = append(got, string(problem.reason))
		}
		if text := strings.Join(got, " "); text != tt.want || found && s.size != 5 {
			t.Errorf("%s: %q of %d bytes, want %q", tt.name, text, s.size, tt.want)
		}
	}
}

// Templates are wanted once each, also those of further disks, as whichever group says their digest.
func TestWantedBy(t *testing.T) {
	one, two := bus.DefaultGroup(), bus.DefaultGroup()
	one.Template, one.Disks = "web", []bus.Disk{{Template: "data"}, {SizeMiB: 1}, {Template: "web"}}
	two.Template, two.TemplateSHA256 = "web", digestA
	if got, want := WantedBy([]bus.Group{one, two}), []Wanted{{"web", digestA}, {"data", ""}}; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Of many templates those are said that are not ready.
func TestOrder(t *testing.T) {
	var all []bus.HostTemplate
	for i := range 2 * bus.MaxTemplates {
		all = append(all, bus.HostTemplate{Name: fmt.Sprintf("t%02d", i), State: bus.TemplateReady})
	}
	all = append(all, bus.HostTemplate{Name: "z", State: bus.TemplateMissing})
	if got := order(all); len(got) != bus.MaxTemplates || got[0].Name != "z" || got[1].Name != "t00" {
		t.Errorf("%+v", got)
	}
}

func TestRetryAfter(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		1: 10 * time.Second, 2: 20 * time.Second, 7: 10 * time.Minute, 100: 10 * time.Minute,
	} {
		if got := retryAfter(failures); got != want {
			t.Errorf("%d: %s, want %s", failures, got, want)
		}
	}
}

// A host says the address that it was told, or else those by which others can reach it.
func TestAddressesOf(t *testing.T) {
	listener := &net.TCPAddr{IP: net.IPv4zero, Port: 4223}
	network := func(s string) net.Addr {
		ip, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		return &net.IPNet{IP: ip, Mask: n.Mask}
	}
	interfaces := []net.Addr{network("127.0.0.1/8"), network("192.0.2.7/24"), network("fe80::1/64"), network("2001:db8::7/64")}
	for _, tt := range []struct{ host, want string }{
		{"kvm1", "kvm1:4223"},
		{"192.0.2.9", "192.0.2.9:4223"},
		{"127.0.0.1", "127.0.0.1:4223"},
		{"0.0.0.0", "192.0.2.7:4223 [2001:db8::7]:4223"},
		{"::", "192.0.2.7:4223 [2001:db8::7]:4223"},
		{"", "192.0.2.7:4223 [2001:db8::7]:4223"},
	} {
		if got := strings.Join(addressesOf(tt.host, listener, interfaces), " "); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.host, got, tt.want)
		}
	}
}
