package bus

import (
	"encoding/xml"
	"fmt"
	"slices"
)

// DeletionProtection is how far a group's VMs are kept from `vmscaler down`. It is noted at each VM, so that it holds without a
// config as well. Nothing else is kept by it: a VM that is one too many, or that does not serve, goes.
type DeletionProtection string

// The levels, as in AWS's deletion protection, in ascending order. The zero value is none.
const (
	DeletionAllowed      DeletionProtection = ""              // nothing is kept
	DeletionPreventForce DeletionProtection = "prevent-force" // not without asking a person
	DeletionPreventAll   DeletionProtection = "prevent-all"   // not at all
)

// DeletionProtections are the levels that keep something.
func DeletionProtections() []DeletionProtection {
	return []DeletionProtection{DeletionPreventForce, DeletionPreventAll}
}

// Stricter is the level of the two that keeps more.
func (p DeletionProtection) Stricter(q DeletionProtection) DeletionProtection {
	if slices.Index(DeletionProtections(), q) > slices.Index(DeletionProtections(), p) {
		return q
	}
	return p
}

// DeletionURI and DeletionKey are of the element that notes the level. It is one of its own, so that it can be set while the
// actuator writes others.
const (
	DeletionURI = "urn:vmscaler:deletion:1"
	DeletionKey = "vmscaler-deletion"
)

// XML is the element without namespace, as libvirt's call for setting metadata wants it; "" where nothing is kept, for which that
// call removes the element.
func (p DeletionProtection) XML() string {
	if p == DeletionAllowed {
		return ""
	}
	return fmt.Sprintf(`<deletion protection="%s"/>`, p)
}

// ParseDeletion reads the element. What cannot be read, or is of a later version, keeps all.
func ParseDeletion(element string) DeletionProtection {
	var x struct {
		XMLName    xml.Name           `xml:"deletion"`
		Protection DeletionProtection `xml:"protection,attr"`
	}
	if err := xml.Unmarshal([]byte(element), &x); err != nil || !slices.Contains(DeletionProtections(), x.Protection) {
		return DeletionPreventAll
	}
	return x.Protection
}

// Marks are the elements of a new VM's definition that say what it is kept from, beside its own.
func (g Group) Marks(protection string) (elements string) {
	for _, e := range []struct{ key, uri, xml string }{
		{ProtectionKey, ProtectionURI, protection}, {DeletionKey, DeletionURI, g.DeletionProtection.XML()},
	} {
		if e.xml != "" {
			elements += Qualified(e.key, e.uri, e.xml)
		}
	}
	return elements
}

// Qualified is an element without content, as libvirt's call for setting metadata wants it, with its namespace, as a definition
// has it.
func Qualified(key, uri, element string) string {
	end := elementName(element)
	return fmt.Sprintf(`<%s:%s xmlns:%s="%s"%s`, key, element[1:end], key, uri, element[end:])
}

// elementName is where the name of an element without content ends.
func elementName(element string) int {
	return slices.IndexFunc([]byte(element), func(c byte) bool { return c == ' ' || c == '/' })
}
