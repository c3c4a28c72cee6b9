package bus_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func TestProtection(t *testing.T) {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		p         bus.Protection
		xml, says string
	}{
		{bus.Protection{On: true, Since: at}, `<protect since="2026-05-04T12:00:00Z"/>`, ""},
		{
			bus.Protection{On: true, Since: at, By: "ann@kvm1", Reason: `a "<b>"`},
			`<protect since="2026-05-04T12:00:00Z" by="ann@kvm1" reason="a &#34;&lt;b&gt;&#34;"/>`,
			`protected from scaling in, by ann@kvm1 ("a \"<b>\"")`,
		},
		{
			bus.Protection{Since: at, By: "ann@kvm1"},
			`<protect off="2026-05-04T12:00:00Z" by="ann@kvm1"/>`,
			"not protected from scaling in any more, by ann@kvm1",
		},
	} {
		if got := tt.p.XML(); got != tt.xml {
			t.Errorf("%+v: %s, want %s", tt.p, got, tt.xml)
		}
		if got := bus.ParseProtection(tt.xml); got != tt.p {
			t.Errorf("%s: %+v, want %+v", tt.xml, got, tt.p)
		}
		if got := tt.p.Sentence(); got != tt.says {
			t.Errorf("%+v says %q, want %q", tt.p, got, tt.says)
		}
	}
}

// What cannot be read protects, and nobody's text reaches an event that its receivers would refuse.
func TestProtectionOfSomebodyElse(t *testing.T) {
	for _, element := range []string{"", "<protect", "<other/>", `<protect off="yesterday"/>`} {
		if p := bus.ParseProtection(element); p != (bus.Protection{On: true}) {
			t.Errorf("%q: %+v", element, p)
		}
	}
	p := bus.ParseProtection(`<protect off="2026-05-04T12:00:00Z" by="ann" reason="` + strings.Repeat("x", bus.MaxReason+1) + `"/>`)
	if p.On || p.By != "" || p.Reason != "" {
		t.Errorf("%+v", p)
	}
}
