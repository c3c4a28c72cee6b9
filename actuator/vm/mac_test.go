package vm

import (
	"fmt"
	"strings"
	"testing"
)

func TestMACAddress(t *testing.T) {
	mac := func(libvirtID, group, name string, taken ...string) string {
		t.Helper()
		set := map[string]bool{}
		for _, m := range taken {
			set[m] = true
		}
		got, err := MACAddress(libvirtID, group, name, set)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got, "52:54:") || len(got) != 17 || set[got] {
			t.Errorf("%q of %s %s", got, group, name)
		}
		return got
	}
	first := mac("kvm1", "web", "web-1")
	if again := mac("kvm1", "web", "web-1"); again != first {
		t.Errorf("%s, and then %s: a replacement would take one more lease", first, again)
	}
	if other := mac("kvm1", "web", "web-1", first); other == first {
		t.Error("taken by somebody else, and used")
	}
	seen := map[string]string{}
	for _, id := range []string{"kvm1", "kvm2"} {
		for _, group := range []string{"web", "db"} {
			for n := range 500 {
				name := fmt.Sprintf("%s-%d", group, n)
				got := mac(id, group, name)
				if other := seen[got]; other != "" {
					t.Errorf("%s/%s and %s have %s", id, name, other, got)
				}
				seen[got] = id + "/" + name
			}
		}
	}
	all := map[string]bool{}
	for range macTries {
		m, err := MACAddress("kvm1", "web", "web-1", all)
		if err != nil {
			t.Fatal(err)
		}
		all[m] = true
	}
	if _, err := MACAddress("kvm1", "web", "web-1", all); err == nil || !strings.Contains(err.Error(), "web-1") {
		t.Errorf("no free one: %v", err)
	}
}
