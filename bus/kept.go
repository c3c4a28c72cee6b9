package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Keep says for how long a further disk outlives its VM.
type Keep string

// How long a disk is kept.
const (
	KeepNever   Keep = ""        // it goes with its VM
	KeepReplace Keep = "replace" // the VM that takes the place has it; it goes when the group has one VM less for it
	KeepAlways  Keep = "always"  // the same, and it is deleted by nothing but a person's command for it
)

func (k Keep) known() bool { return k == KeepReplace || k == KeepAlways }

// Stateful reports whether the group's VMs have disks that outlive them.
func (g Group) Stateful() bool {
	return slices.ContainsFunc(g.Disks, func(d Disk) bool { return d.Keep != KeepNever })
}

// KeptDisk is a disk of a VM that outlives it.
type KeptDisk struct {
	Disk   int // its place among the further disks, from 1
	Keep   Keep
	Volume string // in the pool of the VM's other disks
}

// KeptName is the name of the volume with the disk n, from 1, of each VM of that name on a host. Its 8 digits are of the host and
// the VM's name: no other host of a shared pool takes it for its own, and no foreign file is called so by chance.
func KeptName(host HostID, vm string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s", host, vm))
	return fmt.Sprintf("%s.%s.keep%d%s", vm, hex.EncodeToString(sum[:4]), n, volumeSuffix)
}

var keptName = regexp.MustCompile(`^(([a-z][a-z0-9-]*)-[1-9][0-9]*)\.[0-9a-f]{8}\.keep([1-9][0-9]?)\.qcow2$`)

// ParseKeptName is what the name of a volume says, if it is one that KeptName gives: the VM that it is for, that one's group, and
// which disk it is.
func ParseKeptName(volume string) (group, vm string, disk int, is bool) {
	m := keptName.FindStringSubmatch(volume)
	if m == nil || CheckGroupName(m[2]) != nil {
		return "", "", 0, false
	}
	disk, err := strconv.Atoi(m[3])
	return m[2], m[1], disk, err == nil && disk <= MaxDisks
}

// KeptVolumes are the names of the VM's volumes that outlive it.
func (m Metadata) KeptVolumes() []string {
	var all []string
	for _, k := range m.Kept {
		all = append(all, k.Volume)
	}
	return all
}

// KeptVolume is the volume of the further disk n, from 1, if that outlives the VM.
func (m Metadata) KeptVolume(n int) (volume string, is bool) {
	i := slices.IndexFunc(m.Kept, func(k KeptDisk) bool { return k.Disk == n })
	if i < 0 {
		return "", false
	}
	return m.Kept[i].Volume, true
}

// Shed are the names of the volumes that go with a VM which is gone for good.
func (m Metadata) Shed() []string {
	var all []string
	for _, k := range m.Kept {
		if k.Keep == KeepReplace {
			all = append(all, k.Volume)
		}
	}
	return all
}

// keptText is how the metadata has kept disks, such as "1:replace:web-1.3f2a9c1e.keep1.qcow2", with spaces between.
func keptText(kept []KeptDisk) string {
	var words []string
	for _, k := range kept {
		words = append(words, fmt.Sprintf("%d:%s:%s", k.Disk, k.Keep, k.Volume))
	}
	return strings.Join(words, " ")
}

// parseKept reads what keptText writes, of a VM of a group with so many further disks.
func parseKept(text, group string, disks int) (kept []KeptDisk, err error) {
	for word := range strings.FieldsSeq(text) {
		var k KeptDisk
		number, rest, _ := strings.Cut(word, ":")
		keep, volume, _ := strings.Cut(rest, ":")
		k.Keep, k.Volume = Keep(keep), volume
		k.Disk, err = strconv.Atoi(number)
		of, _, disk, is := ParseKeptName(volume)
		switch {
		case err != nil || k.Disk < 1 || k.Disk > disks:
			return nil, fmt.Errorf("keep: found disk %.20q, want 1 to %d", number, disks)
		case !k.Keep.known():
			return nil, fmt.Errorf("keep: found %.20q, want replace or always", keep)
		case !is || of != group || disk != k.Disk:
			return nil, fmt.Errorf("keep: found the volume %.80q, want one of disk %d of a VM of %s", volume, k.Disk, group)
		case len(kept) > 0 && k.Disk <= kept[len(kept)-1].Disk:
			return nil, fmt.Errorf("keep: found disk %d after %d, want them to ascend", k.Disk, kept[len(kept)-1].Disk)
		}
		kept = append(kept, k)
	}
	return kept, nil
}
