package bus

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// MetadataURI is the XML namespace of vmscaler's element in a domain's metadata, and MetadataKey its prefix.
const (
	MetadataURI = "urn:vmscaler:vm:1"
	MetadataKey = "vmscaler"
)

// ProtectionURI and ProtectionKey are of the element that protects a domain from being scaled in. It is one of its own,
// so that it can be set while the actuator writes the other.
const (
	ProtectionURI = "urn:vmscaler:protect:1"
	ProtectionKey = "vmscaler-protect"
)

// RebootURI and RebootKey are of the element that says when a guest last restarted itself, or was reset. It is one of its own
// for the same reason.
const (
	RebootURI = "urn:vmscaler:reboot:1"
	RebootKey = "vmscaler-reboot"
)

type rebootXML struct {
	XMLName xml.Name  `xml:"reboot"`
	At      time.Time `xml:"at,attr"`
}

// RebootXML is the element without namespace, as libvirt's call for setting metadata wants it.
func RebootXML(at time.Time) string {
	return fmt.Sprintf(`<reboot at="%s"/>`, at.UTC().Format(time.RFC3339Nano))
}

// ParseReboot reads the element; the zero time is that of an element which cannot be read.
func ParseReboot(element string) time.Time {
	var x rebootXML
	if err := xml.Unmarshal([]byte(element), &x); err != nil {
		return time.Time{}
	}
	return x.At
}

// ProtectionXML is the element without namespace, as libvirt's call for setting metadata wants it.
func ProtectionXML(since time.Time) string {
	return fmt.Sprintf(`<protect since="%s"/>`, since.UTC().Format(time.RFC3339))
}

// Metadata is what marks a libvirt domain as ours, kept in its definition. libvirt is the only record of which
// VMs exist: what this says after a restart is all that is known.
type Metadata struct {
	Group    string
	Template string
	// UUID is the domain's own. A copied definition (virt-clone copies metadata too) has another UUID and is
	// therefore not ours, although it names our volume.
	UUID    string
	Created time.Time
	Phase   Phase
	Since   time.Time // when it entered Phase
	Booted  time.Time // when its first boot was over, before any launch hook; zero: not yet, or not known
	Pool    string
	Volume  string // the volume made for this VM, in Pool
}

// VolumeName is the name of the volume made for a VM. It carries 8 digits of the domain's random UUID, and the
// definition names it before it is created; so a volume of that name is the one that was created for this domain,
// whatever moment a crash came at, and a file of somebody else never is.
func VolumeName(vm, uuid string) string {
	return vm + "." + uuid[:min(8, len(uuid))] + ".qcow2"
}

type metadataXML struct {
	XMLName  xml.Name  `xml:"vm"`
	Group    string    `xml:"group,attr"`
	Template string    `xml:"template,attr"`
	UUID     string    `xml:"uuid,attr"`
	Created  time.Time `xml:"created,attr"`
	Phase    Phase     `xml:"phase,attr"`
	Since    time.Time `xml:"since,attr"`
	// A pointer, as a time has no empty form.
	Booted *time.Time `xml:"booted,attr,omitempty"`
	Volume struct {
		Pool string `xml:"pool,attr"`
		Name string `xml:"name,attr"`
	} `xml:"volume"`
}

// XML is the element without namespace, as libvirt's call for setting metadata wants it.
func (m Metadata) XML() (string, error) {
	x := metadataXML{
		Group: m.Group, Template: m.Template, UUID: m.UUID, Phase: m.Phase,
		Created: m.Created.UTC(), Since: m.Since.UTC(),
	}
	if !m.Booted.IsZero() {
		x.Booted = new(m.Booted.UTC())
	}
	x.Volume.Pool, x.Volume.Name = m.Pool, m.Volume
	out, err := xml.Marshal(x)
	if err != nil {
		return "", fmt.Errorf("encode metadata: %w", err)
	}
	return string(out), nil
}

// DefinitionXML is the element as it stands inside <metadata> of a domain's definition.
func (m Metadata) DefinitionXML() (string, error) {
	out, err := m.XML()
	if err != nil {
		return "", err
	}
	out = strings.Replace(out, "<vm ", fmt.Sprintf(`<%s:vm xmlns:%s="%s" `, MetadataKey, MetadataKey, MetadataURI), 1)
	out = strings.Replace(out, "<volume ", "<"+MetadataKey+":volume ", 1)
	out = strings.Replace(out, "</volume>", "</"+MetadataKey+":volume>", 1)
	return strings.Replace(out, "</vm>", "</"+MetadataKey+":vm>", 1), nil
}

// ParseMetadata reads the element of the domain with the given UUID. An error means that the domain is not ours:
// the element is not well-formed, lacks something, or belongs to another domain.
func ParseMetadata(element, uuid string) (Metadata, error) {
	var x metadataXML
	if err := xml.Unmarshal([]byte(element), &x); err != nil {
		return Metadata{}, fmt.Errorf("decode metadata: %w", err)
	}
	if x.UUID != uuid {
		return Metadata{}, fmt.Errorf("metadata is of domain %q, not of %q: a copied definition", x.UUID, uuid)
	}
	if x.Group == "" || x.Volume.Pool == "" || x.Volume.Name == "" || x.Phase == "" || x.Created.IsZero() {
		return Metadata{}, fmt.Errorf("metadata without group, volume, phase or creation time: %s", element)
	}
	m := Metadata{
		Group: x.Group, Template: x.Template, UUID: x.UUID, Created: x.Created, Phase: x.Phase, Since: x.Since,
		Pool: x.Volume.Pool, Volume: x.Volume.Name,
	}
	if x.Booted != nil {
		m.Booted = *x.Booted
	}
	return m, nil
}
