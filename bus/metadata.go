package bus

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// MetadataURI is the XML namespace of vmscaler's element in a domain's metadata, and MetadataKey its prefix.
const (
	MetadataURI = "urn:vmscaler:vm:1"
	MetadataKey = "vmscaler"
)

// RebootURI and RebootKey are of the element that says when a guest last restarted itself, or was reset. It is one of its own,
// so that it can be set while the actuator writes the other.
const (
	RebootURI = "urn:vmscaler:reboot:1"
	RebootKey = "vmscaler-reboot"
)

// Reboot is what is noted of a guest's restarts.
type Reboot struct {
	At   time.Time // when it last restarted; zero: it did not
	Left time.Time // since when its agent is gone, as it is while the guest shuts down; zero: it is there
}

// Since is from when on the guest is busy with its last restart, as far as is known; zero is never.
func (r Reboot) Since() time.Time {
	if r.Left.After(r.At) {
		return r.Left
	}
	return r.At
}

type rebootXML struct {
	XMLName xml.Name   `xml:"reboot"`
	At      *time.Time `xml:"at,attr"`
	Left    *time.Time `xml:"left,attr"`
}

// XML is the element without namespace, as libvirt's call for setting metadata wants it; "" where there is nothing to note,
// for which that call removes the element.
func (r Reboot) XML() string {
	if r == (Reboot{}) {
		return ""
	}
	text := "<reboot"
	for _, a := range []struct {
		name string
		at   time.Time
	}{{"at", r.At}, {"left", r.Left}} {
		if !a.at.IsZero() {
			text += fmt.Sprintf(` %s="%s"`, a.name, a.at.UTC().Format(time.RFC3339Nano))
		}
	}
	return text + "/>"
}

// ParseReboot reads the element; of one that cannot be read nothing is known.
func ParseReboot(element string) Reboot {
	var x rebootXML
	if err := xml.Unmarshal([]byte(element), &x); err != nil {
		return Reboot{}
	}
	var r Reboot
	if x.At != nil {
		r.At = *x.At
	}
	if x.Left != nil {
		r.Left = *x.Left
	}
	return r
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
	Volume  string // the volume with the VM's main disk, in Pool
	Seed    string // the volume with what cloud-init reads, SeedName in Pool; "": it has none
	Disks   int    // how many further disks it has, each a volume DiskName in Pool
	Machine string // the group's MachineHash when the VM was made, or restarted; "": an earlier version made it
	Storage string // the group's StorageHash when the VM was made; "": an earlier version made it
	// Kept are those of the further disks that outlive the VM, in their order; none of Volumes is of them.
	Kept []KeptDisk
	// Sheds reports that the VM's removal has begun, and that its group has one VM less for it: what KeepReplace keeps goes.
	Sheds bool
	// Retiring is since when the VM only serves until another has taken its place; zero: it does not.
	Retiring time.Time
	// Reimaging is since when the VM is out of service to come back as new ones are; zero: it is not, or it is ready again. It
	// gets new disks meanwhile, or with Restarts it keeps those that it has.
	Reimaging time.Time
	Restarts  bool
	Restarted time.Time // when a refresh last restarted it with its disks; zero: none did
	// Handed is since when the VM is being handed over from the warm pool; zero: it is not, or it is ready.
	Handed  time.Time
	Stops   bool   // in the warm pool it waits, or is to wait, shut down; else as its group's pool says
	Saver   string // what its host had when its memory was to be saved in the warm pool: versions and CPU; "": it waits otherwise
	Address string // the IP address that the launch hook was given; "": none was
}

// VolumeName is the name of the volume made for a VM. It carries 8 digits of the domain's random UUID, and the
// definition names it before it is created; so a volume of that name is the one that was created for this domain,
// whatever moment a crash came at, and a foreign file never is.
func VolumeName(vm, uuid string) string {
	return vm + "." + uuid[:min(8, len(uuid))] + volumeSuffix
}

// MaxDisks is how many further disks a VM may have.
const MaxDisks = 16

const volumeSuffix = ".qcow2"

// SeedName is the name of the volume with a VM's seed, beside that of its disk.
func SeedName(volume string) string { return strings.TrimSuffix(volume, volumeSuffix) + ".seed.iso" }

// DiskName is the name of the volume of a VM's further disk n, from 1, beside that of its main disk.
func DiskName(volume string, n int) string {
	return fmt.Sprintf("%s.disk%d%s", strings.TrimSuffix(volume, volumeSuffix), n, volumeSuffix)
}

// Made is what the VM was made from.
func (m Metadata) Made() Made {
	return Made{Machine: m.Machine, Storage: m.Storage, Template: m.Template, Created: m.Created, Restarted: m.Restarted}
}

// Volumes are the names of all volumes that were made for the VM, or are about to be, and go with it; the main disk is the first.
func (m Metadata) Volumes() []string {
	all := []string{m.Volume}
	for n := range m.Disks {
		if _, kept := m.KeptVolume(n + 1); !kept {
			all = append(all, DiskName(m.Volume, n+1))
		}
	}
	if m.Seed != "" {
		all = append(all, m.Seed)
	}
	return all
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
	Machine   string      `xml:"machine,attr,omitempty"`
	Storage   string      `xml:"storage,attr,omitempty"`
	Booted    *time.Time  `xml:"booted,attr,omitempty"`
	Retiring  *time.Time  `xml:"retiring,attr,omitempty"`
	Reimaging *time.Time  `xml:"reimaging,attr,omitempty"`
	Restarts  bool        `xml:"restarts,attr,omitempty"`
	Restarted *time.Time  `xml:"restarted,attr,omitempty"`
	Handed    *time.Time  `xml:"handed,attr,omitempty"`
	Stops     bool        `xml:"stops,attr,omitempty"`
	Saver     string      `xml:"saver,attr,omitempty"`
	Sheds     bool        `xml:"sheds,attr,omitempty"`
	Address   string      `xml:"address,attr,omitempty"`
	Volume    []volumeXML `xml:"volume"`
}

type volumeXML struct {
	Pool string `xml:"pool,attr"`
	Name string `xml:"name,attr"`
	// Attributes, as a program that does not know them then still takes the VM for its own.
	Seed  string `xml:"seed,attr,omitempty"`
	Disks int    `xml:"disks,attr,omitempty"`
	Keep  string `xml:"keep,attr,omitempty"` // see keptText
}

// XML is the element without namespace, as libvirt's call for setting metadata wants it.
func (m Metadata) XML() (string, error) {
	x := metadataXML{
		Group: m.Group, Template: m.Template, UUID: m.UUID, Phase: m.Phase,
		Created: m.Created.UTC(), Since: m.Since.UTC(), Machine: m.Machine,
		Storage: m.Storage, Restarts: m.Restarts, Stops: m.Stops, Saver: m.Saver, Sheds: m.Sheds, Address: m.Address,
		Volume: []volumeXML{{Pool: m.Pool, Name: m.Volume, Seed: m.Seed, Disks: m.Disks, Keep: keptText(m.Kept)}},
	}
	if !m.Booted.IsZero() {
		x.Booted = new(m.Booted.UTC())
	}
	if !m.Retiring.IsZero() {
		x.Retiring = new(m.Retiring.UTC())
	}
	if !m.Reimaging.IsZero() {
		x.Reimaging = new(m.Reimaging.UTC())
	}
	if !m.Restarted.IsZero() {
		x.Restarted = new(m.Restarted.UTC())
	}
	if !m.Handed.IsZero() {
		x.Handed = new(m.Handed.UTC())
	}
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

// Bounds of what is read. A user who may write to libvirt can set any metadata.
const (
	longestMetadata = 8 << 10 // bytes
	longestName     = 255     // bytes, of a pool, a volume or a template
)

// ErrCopiedMetadata means that an element belongs to another domain, of which its own is a copy.
var ErrCopiedMetadata = errors.New("a copied definition")

// ParseMetadata reads the element of the domain with the given UUID. An error means that the domain is not ours: the
// element is not well-formed, lacks something, belongs to another domain (ErrCopiedMetadata), or has what no element of ours ever
// had.
func ParseMetadata(element, uuid string) (Metadata, error) {
	if len(element) > longestMetadata {
		return Metadata{}, fmt.Errorf("metadata: found %d bytes, want at most %d", len(element), longestMetadata)
	}
	var x metadataXML
	if err := xml.Unmarshal([]byte(element), &x); err != nil {
		return Metadata{}, fmt.Errorf("decode metadata: %w", err)
	}
	if x.UUID != uuid {
		return Metadata{}, fmt.Errorf("metadata is of domain %.40q, not of %q: %w", x.UUID, uuid, ErrCopiedMetadata)
	}
	if len(x.Volume) > 1 {
		return Metadata{}, fmt.Errorf("metadata: found %d volumes, want 1", len(x.Volume))
	}
	if x.Group == "" || len(x.Volume) == 0 || x.Volume[0].Pool == "" || x.Volume[0].Name == "" || x.Phase == "" ||
		x.Created.IsZero() {
		return Metadata{}, fmt.Errorf("metadata without group, volume, phase or creation time: %.200q", element)
	}
	m := Metadata{
		Group: x.Group, Template: x.Template, UUID: x.UUID, Created: x.Created.UTC(), Phase: x.Phase, Since: x.Since.UTC(),
		Pool: x.Volume[0].Pool, Volume: x.Volume[0].Name, Machine: x.Machine, Storage: x.Storage, Restarts: x.Restarts,
		Stops: x.Stops, Saver: x.Saver, Sheds: x.Sheds, Address: x.Address,
	}
	m.Seed, m.Disks = x.Volume[0].Seed, x.Volume[0].Disks
	if x.Booted != nil {
		m.Booted = x.Booted.UTC()
	}
	if x.Retiring != nil {
		m.Retiring = x.Retiring.UTC()
	}
	if x.Reimaging != nil {
		m.Reimaging = x.Reimaging.UTC()
	}
	if x.Restarted != nil {
		m.Restarted = x.Restarted.UTC()
	}
	if x.Handed != nil {
		m.Handed = x.Handed.UTC()
	}
	if err := m.check(); err != nil {
		return Metadata{}, fmt.Errorf("metadata: %w", err)
	}
	var err error
	if m.Kept, err = parseKept(x.Volume[0].Keep, m.Group, m.Disks); err != nil {
		return Metadata{}, fmt.Errorf("metadata: %w", err)
	}
	return m, nil
}

var machineHash = regexp.MustCompile(`^[0-9a-f]{1,64}$`)

// check reports what in metadata none of ours ever had.
func (m Metadata) check() error {
	if err := CheckGroupName(m.Group); err != nil {
		return fmt.Errorf("group: found %.80q, want a group's name", m.Group)
	}
	if !m.Phase.Known() {
		return fmt.Errorf("phase: found %.40q, want a phase of a VM", m.Phase)
	}
	for _, f := range []struct{ name, value string }{
		{"template", m.Template}, {"pool", m.Pool}, {"volume", m.Volume}, {"saver", m.Saver},
	} {
		if len(f.value) > longestName || strings.Contains(f.value, "/") || Line(f.value) != f.value ||
			strings.Contains(f.value, "\uFFFD") {
			return fmt.Errorf(
				"%s: found %.80q, want a name of at most %d bytes without '/' and control characters",
				f.name,
				f.value,
				longestName,
			)
		}
	}
	if m.Seed != "" && m.Seed != SeedName(m.Volume) {
		return fmt.Errorf("seed: found %.80q, want %q", m.Seed, SeedName(m.Volume))
	}
	if m.Disks < 0 || m.Disks > MaxDisks {
		return fmt.Errorf("disks: found %d, want 0 to %d", m.Disks, MaxDisks)
	}
	for _, f := range []struct{ name, value string }{{"machine", m.Machine}, {"storage", m.Storage}} {
		if f.value != "" && !machineHash.MatchString(f.value) {
			return fmt.Errorf("%s: found %.80q, want hexadecimal digits, at most 64", f.name, f.value)
		}
	}
	for _, f := range []struct {
		name string
		at   time.Time
	}{
		{"created", m.Created},
		{"since", m.Since},
		{"booted", m.Booted},
		{"retiring", m.Retiring},
		{"reimaging", m.Reimaging},
		{"restarted", m.Restarted},
		{"handed", m.Handed},
	} {
		// A clock may be wrong by decades; a year that JSON cannot say would silence the collector.
		if f.name == "created" && f.at.Unix() < 0 || f.at.Year() > 2200 || f.at.Year() < 1 {
			return fmt.Errorf("%s: found the year %d, want one up to 2200", f.name, f.at.Year())
		}
	}
	if a, err := netip.ParseAddr(m.Address); m.Address != "" &&
		(err != nil || a.Zone() != "" || a.Is4In6() || a.String() != m.Address) {
		return fmt.Errorf("address: found %.80q, want an IP address in its canonical form", m.Address)
	}
	return nil
}
