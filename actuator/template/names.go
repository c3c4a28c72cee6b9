package template

import (
	"fmt"
	"regexp"
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

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// CheckName reports whether name may be a template's.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("template name %q: want a lower-case letter, then up to 39 lower-case letters, digits and dashes", name)
	}
	return nil
}

// VolumeName is the storage volume that holds the template.
func VolumeName(name string) string { return volumePrefix + name + volumeSuffix }

// markerName is the volume that exists while the template is incomplete. It
// cannot be a template's own volume, since template names have no dots.
func markerName(name string) string { return volumePrefix + name + markerSuffix }

// goingName is the volume that exists while the template is removed; no clone is made of it from then on.
func goingName(name string) string { return volumePrefix + name + goingSuffix }

// templateName is the inverse of VolumeName.
func templateName(volume string) (name string, ok bool) {
	if len(volume) < len(volumePrefix)+len(volumeSuffix) ||
		VolumeName(volume[len(volumePrefix):len(volume)-len(volumeSuffix)]) != volume {
		return "", false
	}
	name = volume[len(volumePrefix) : len(volume)-len(volumeSuffix)]
	return name, namePattern.MatchString(name)
}

// IsVolume reports whether a volume is named like a template's.
func IsVolume(volume string) bool {
	_, ok := templateName(volume)
	return ok
}
