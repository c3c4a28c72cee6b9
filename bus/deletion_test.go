package bus_test

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func TestDeletionProtection(t *testing.T) {
	for _, p := range bus.DeletionProtections() {
		if got := bus.ParseDeletion(p.XML()); got != p {
			t.Errorf("%s is read back as %s", p, got)
		}
		if bus.DeletionAllowed.Stricter(p) != p || p.Stricter(bus.DeletionAllowed) != p ||
			p.Stricter(bus.DeletionPreventAll) != bus.DeletionPreventAll {
			t.Errorf("%s is not in its order", p)
		}
	}
	for _, element := range []string{"", "<deletion/>", `<deletion protection="prevent-some"/>`, "<x/>", "<<"} {
		if got := bus.ParseDeletion(element); got != bus.DeletionPreventAll {
			t.Errorf("%q is read as %q, and keeps less than all", element, got)
		}
	}
	if bus.DeletionAllowed.XML() != "" {
		t.Error("there is an element of nothing")
	}
}

// The elements of a definition are those that are read and set later.
func TestMarks(t *testing.T) {
	since := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	g := bus.Group{ProtectNew: true, DeletionProtection: bus.DeletionPreventAll}
	var x struct {
		Protect struct {
			Since string `xml:"since,attr"`
		} `xml:"urn:vmscaler:protect:1 protect"`
		Deletion struct {
			Protection string `xml:"protection,attr"`
		} `xml:"urn:vmscaler:deletion:1 deletion"`
	}
	text := g.Marks(bus.Protection{On: true, Since: since}.XML())
	if err := xml.Unmarshal([]byte("<metadata>"+text+"</metadata>"), &x); err != nil {
		t.Fatal(err)
	}
	if x.Protect.Since != "2026-05-04T12:00:00Z" || x.Deletion.Protection != "prevent-all" {
		t.Errorf("%s: %+v", text, x)
	}
	if got := (bus.Group{}).Marks(""); got != "" {
		t.Errorf("%q of a group that keeps nothing", got)
	}
	if got := g.Marks(""); strings.Contains(got, "protect ") {
		t.Errorf("%q protects", got)
	}
}
