package template

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
)

// CloudInit is whether a template's system has cloud-init, which reads seeds, as far as its file systems tell.
type CloudInit string

// What is known of it.
const (
	CloudInitUnknown CloudInit = "" // nobody could look
	CloudInitPresent CloudInit = "present"
	CloudInitAbsent  CloudInit = "absent"
)

// Unread reports why a seed does nothing in VMs of a template; "" where it may, or where that is unknown.
func (c CloudInit) Unread() string {
	switch c {
	case CloudInitUnknown, CloudInitPresent:
		return ""
	case CloudInitAbsent:
		return "has no cloud-init, so nothing of cloud_init has an effect in its VMs unless the guest reads the seed by other means"
	}
	return "has the unknown cloud_init " + string(c)
}

// CloudInitRemedy is what a person can do where [CloudInit.Unread] has something to say.
const CloudInitRemedy = "install cloud-init in the image and import it under a new name, or leave out the group's cloud_init"

// known reports whether it is one of the above.
func (c CloudInit) known() bool {
	switch c {
	case CloudInitUnknown, CloudInitPresent, CloudInitAbsent:
		return true
	}
	return false
}

// cloudInitIn reports whether a system's files are those of one with cloud-init, or with Alpine's tiny-cloud, which reads the
// same seeds.
func cloudInitIn(r reader) CloudInit {
	names, err := r.ReadNames("/etc")
	if err != nil {
		return CloudInitUnknown
	}
	_, err = r.ReadFile("/usr/bin/cloud-init", 0) // too long, or a link, is there all the same
	if slices.Contains(names, "cloud") || slices.Contains(names, "tiny-cloud.conf") || !errors.Is(err, fs.ErrNotExist) {
		return CloudInitPresent
	}
	return CloudInitAbsent
}

// LookInside looks into the file systems of a template's file on this machine: whether there is cloud-init, and what is baked in
// that each VM would have, with the remedy. What cannot be looked into is said among that. The error is that the file cannot be
// read here, or the end of ctx.
func LookInside(ctx context.Context, path string) (cloud CloudInit, baked []string, err error) {
	s, err := openSource(path)
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	dir, err := os.MkdirTemp("", "vmscaler-look-")
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	seen, err := lookInside(ctx, s, dir)
	return seen.cloud, seen.baked, err
}

// elsewhere reports whether a file cannot be looked at for being another machine's, or another user's.
func elsewhere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}
