package bus

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// ProtectionURI and ProtectionKey are of the element that protects a domain from being scaled in. It is one of its own,
// so that it can be set while the actuator writes the other.
const (
	ProtectionURI = "urn:vmscaler:protect:1"
	ProtectionKey = "vmscaler-protect"
)

// Protection is what is noted of a VM's protection from being scaled in. One that was taken back stays noted, so that the
// actuator can say who has done it. The zero value is a VM that never had any.
type Protection struct {
	On     bool
	Since  time.Time // of the last change; zero: not known
	By     string    // the person who has changed it; "": nobody, as for a new VM of a group with protect_new, or not known
	Reason string    // the person's, "" if none was given
}

type protectionXML struct {
	XMLName xml.Name   `xml:"protect"`
	Since   time.Time  `xml:"since,attr"`
	Off     *time.Time `xml:"off,attr"`
	By      string     `xml:"by,attr"`
	Reason  string     `xml:"reason,attr"`
}

// XML is the element without namespace, as libvirt's call for setting metadata wants it.
func (p Protection) XML() string {
	at := "since"
	if !p.On {
		at = "off"
	}
	var text strings.Builder
	fmt.Fprintf(&text, `<protect %s="%s"`, at, p.Since.UTC().Format(time.RFC3339))
	for _, a := range []struct{ name, value string }{{"by", p.By}, {"reason", p.Reason}} {
		if a.value != "" {
			fmt.Fprintf(&text, ` %s="`, a.name)
			_ = xml.EscapeText(&text, []byte(a.value)) // a builder takes everything
			text.WriteString(`"`)
		}
	}
	return text.String() + "/>"
}

// ParseProtection reads the element. What cannot be read, or is of a later version, protects.
func ParseProtection(element string) Protection {
	var x protectionXML
	if err := xml.Unmarshal([]byte(element), &x); err != nil {
		return Protection{On: true}
	}
	p := Protection{On: x.Off == nil, Since: x.Since, By: Line(x.By), Reason: Line(x.Reason)}
	if x.Off != nil {
		p.Since = *x.Off
	}
	var b bounds // who may write to libvirt can note anything
	b.name("by", p.By, maxHostName)
	b.reason(p.Reason)
	if b.err != nil {
		p.By, p.Reason = "", ""
	}
	return p
}

// Sentence says who has protected a VM, or has taken that back; "" where nobody did.
func (p Protection) Sentence() string {
	switch {
	case p.By == "":
		return ""
	case p.On:
		return "protected from scaling in, " + Attribution(p.By, p.Reason)
	}
	return "not protected from scaling in any more, " + Attribution(p.By, p.Reason)
}
