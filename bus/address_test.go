package bus

import (
	"net/netip"
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestChooseAddress(t *testing.T) {
	for _, tt := range []struct {
		name      string
		addresses []string
		want      string
	}{
		{"none", nil, ""},
		{"loopback", []string{"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"}, ""},
		{"one", []string{"192.168.122.7"}, "192.168.122.7"},
		{"the first of IPv4", []string{"127.0.0.1", "::1", "fe80::1", "2001:db8::7", "10.0.0.7", "10.0.0.8"}, "10.0.0.7"},
		{"the first of IPv6", []string{"fe80::1", "2001:db8::7", "2001:db8::8"}, "2001:db8::7"},
		{"link-local", []string{"169.254.3.4", "fe80::1", "::ffff:169.254.3.4"}, ""},
		{"multicast", []string{"224.0.0.1", "239.1.2.3", "ff02::1", "ff0e::1"}, ""},
		{"unspecified", []string{"0.0.0.0", "::", "0.1.2.3"}, ""},
		{"broadcast, and what nobody uses", []string{"255.255.255.255", "240.0.0.1"}, ""},
		{"no address", []string{
			"rubbish", "", " 10.0.0.1", "10.0.0.1 ", "10.0.0.1/24", "010.0.0.1", "10.0.0.1:80", "[2001:db8::1]",
			"10.0.0.7",
		}, "10.0.0.7"},
		{"IPv4 in IPv6", []string{"::ffff:10.0.0.7"}, "10.0.0.7"},
		{"not canonical", []string{"2001:DB8:0:0::7"}, "2001:db8::7"},
		{"a zone", []string{"2001:db8::1%eth0", "2001:db8::1%"}, ""},
		{"a zone that is a shell's", []string{"2001:db8::1%$(touch /tmp/x)"}, ""},
		{"a zone on IPv4 in IPv6", []string{"::ffff:10.0.0.7%;reboot"}, ""},
		{
			"a zone that is nginx's",
			[]string{"2001:db8::1%x:80;\n}\nserver { listen 8099; location / { root /; autoindex on; } }\nupstream y { server 10.0.0.1"},
			"",
		},
		{"too many", append(slices.Repeat([]string{"fe80::1"}, MaxAddresses), "10.0.0.7"), ""},
	} {
		if got := ChooseAddress(tt.addresses); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Whatever a guest says, what goes on is nothing or an address, in the characters of an address.
func addressIsNothingElse(t *rapid.T) {
	address := rapid.SampledFrom(
		[]string{"10.0.0.1", "127.0.0.1", "2001:db8::1", "2001:DB8::1", "::ffff:10.0.0.1", "::ffff:0:0", "fe80::1", "::", ""},
	)
	joint := rapid.SampledFrom([]string{"%", "%eth0", "/", ":", ";", "\n", "\x1b[2J", " ", "\x00", "\u202e", ""})
	rest := rapid.OneOf(
		address,
		rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 6), func(b []byte) string { return string(b) }),
	)
	text := rapid.Custom(func(t *rapid.T) string {
		return address.Draw(t, "address") + joint.Draw(t, "joint") + rest.Draw(t, "rest")
	})
	got := ChooseAddress(rapid.SliceOfN(text, 0, 6).Draw(t, "texts"))
	if got == "" {
		return
	}
	a, err := netip.ParseAddr(got)
	if err != nil || a.Zone() != "" || a.String() != got || a.Is4In6() || !regexp.MustCompile(`^[0-9a-f.:]+$`).MatchString(got) {
		t.Fatalf("chose %q (%v)", got, err)
	}
	if a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() || a.IsLinkLocalUnicast() {
		t.Fatalf("chose %q, by which nobody reaches it", got)
	}
}

func TestAddressIsNothingElse(t *testing.T) { rapid.Check(t, addressIsNothingElse) }

func FuzzAddress(f *testing.F) { f.Fuzz(rapid.MakeFuzz(addressIsNothingElse)) }
