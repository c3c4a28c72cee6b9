package template

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"libvirt.org/go/libvirt"
)

// Every volume name here ends in .qcow2, whatever it holds: where AppArmor
// confines libvirt (Ubuntu), its helper looks into files with a known suffix
// only.
const (
	volumePrefix = "template-"
	volumeSuffix = ".qcow2"
	markerSuffix = ".uploading.qcow2"
	goingSuffix  = ".removing.qcow2"
)

// A template's name may end in a version: web:3.
const (
	versionMark = ":"
	nextVersion = versionMark + "next" // in place of a name's version: the number after the newest
)

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}(:[1-9][0-9]{0,5})?$`)

// CheckName reports whether name may be a template's, with or without a version.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("template name %q: want a lower-case letter, then up to 39 lower-case letters, digits and dashes, "+
			"and if you like a version, as in web:3", name)
	}
	return nil
}

// CheckNewName is CheckName for a template that is to be made, whose version may be left to [NewName].
func CheckNewName(name string) error {
	if base, next := strings.CutSuffix(name, nextVersion); next {
		return CheckName(base + versionMark + "1")
	}
	return CheckName(name)
}

// NewName is the name of a template that is to be made, with the next version's number where it asks for that.
func NewName(conn *libvirt.Connect, pool, name string) (string, error) {
	base, next := strings.CutSuffix(name, nextVersion)
	if !next {
		return name, nil
	}
	p, err := openPool(conn, pool)
	if err != nil {
		return "", fmt.Errorf("find the next version of template %s: %w", base, err)
	}
	defer p.Free()
	volumes, err := volumesByName(p)
	if err != nil {
		return "", fmt.Errorf("find the next version of template %s in storage pool %q: %w", base, pool, err)
	}
	defer freeAll(volumes)
	return nextOf(base, templateNames(volumes))
}

// nextOf is the name of the version after all those of a template that there are.
func nextOf(base string, names []string) (string, error) {
	newest := 0
	for _, name := range names {
		if b, version := Version(name); b == base {
			newest = max(newest, version)
		}
	}
	name := base + versionMark + strconv.Itoa(newest+1)
	return name, CheckName(name)
}

// Version parts a template's name from its version; 0 is none.
func Version(name string) (base string, version int) {
	base, digits, _ := strings.Cut(name, versionMark)
	version, err := strconv.Atoi(digits)
	if err != nil {
		return name, 0
	}
	return base, version
}

// byVersion orders names by their letters, and those of one template by their versions.
func byVersion(a, b string) int {
	baseA, versionA := Version(a)
	baseB, versionB := Version(b)
	return cmp.Or(strings.Compare(baseA, baseB), versionA-versionB)
}

// stem is what the names of a template's volumes begin with. A version follows a dot, which no template's name has: a colon in a
// file's name means something to QEMU.
func stem(name string) string { return volumePrefix + strings.Replace(name, versionMark, ".", 1) }

// VolumeName is the storage volume that holds the template.
func VolumeName(name string) string { return stem(name) + volumeSuffix }

// markerName is the volume that exists while the template is incomplete. It
// cannot be a template's own volume, since versions are numbers.
func markerName(name string) string { return stem(name) + markerSuffix }

// goingName is the volume that exists while the template is removed; no clone is made of it from then on.
func goingName(name string) string { return stem(name) + goingSuffix }

// templateName is the inverse of VolumeName.
func templateName(volume string) (name string, ok bool) {
	middle, isTemplate := strings.CutPrefix(volume, volumePrefix)
	middle, isImage := strings.CutSuffix(middle, volumeSuffix)
	if !isTemplate || !isImage || strings.Contains(middle, versionMark) {
		return "", false
	}
	name = strings.Replace(middle, ".", versionMark, 1)
	return name, namePattern.MatchString(name)
}

// IsVolume reports whether a volume is named like a template's.
func IsVolume(volume string) bool {
	_, ok := templateName(volume)
	return ok
}

func templateNames(volumes map[string]*libvirt.StorageVol) []string {
	var names []string
	for volume := range volumes {
		if name, ok := templateName(volume); ok {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, byVersion)
	return names
}
