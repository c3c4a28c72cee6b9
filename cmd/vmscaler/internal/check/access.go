package check

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"
)

// Principal is a user as the kernel sees one that asks for a file.
type Principal struct {
	Name string
	UID  int
	GIDs []int
}

// Node is a file or folder with what decides who may use it.
type Node struct {
	Path         string
	Mode         fs.FileMode
	UID, GID     int
	Owner, Group string // names, or the numbers as text
	ACL          []ACLEntry
}

// ACLEntry is one entry of a POSIX access list (setfacl).
type ACLEntry struct {
	Tag  uint16
	Perm uint32 // r 4, w 2, x 1
	ID   int
}

// The tags of ACL entries, as the kernel stores them in system.posix_acl_access.
const (
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

// The rights that are asked for.
const (
	mayRead  = 4
	mayWrite = 2
	mayEnter = 1
)

func (n Node) String() string {
	return fmt.Sprintf("%s (%04o %s:%s)", n.Path, n.Mode.Perm(), n.Owner, n.Group)
}

// allows reports whether p has all of the rights in want. Root has them: QEMU runs as root only where its
// configuration says so.
func (n Node) allows(p Principal, want uint32) bool {
	if p.UID == 0 {
		return true
	}
	acl := n.ACL
	if len(acl) == 0 {
		perm := uint32(n.Mode.Perm())
		acl = []ACLEntry{
			{Tag: aclUserObj, Perm: perm >> 6 & 7},
			{Tag: aclGroupObj, Perm: perm >> 3 & 7},
			{Tag: aclOther, Perm: perm & 7},
		}
	}
	mask, other := uint32(7), uint32(0)
	for _, e := range acl {
		switch e.Tag {
		case aclMask:
			mask = e.Perm
		case aclOther:
			other = e.Perm
		}
	}
	inGroup, granted := false, false
	for _, e := range acl {
		switch e.Tag {
		case aclUserObj:
			if p.UID == n.UID {
				return e.Perm&want == want
			}
		case aclUser:
			if p.UID == e.ID {
				return e.Perm&mask&want == want
			}
		case aclGroupObj, aclGroup:
			gid := e.ID
			if e.Tag == aclGroupObj {
				gid = n.GID
			}
			if slices.Contains(p.GIDs, gid) {
				inGroup = true
				granted = granted || e.Perm&mask&want == want
			}
		}
	}
	if inGroup {
		return granted
	}
	return other&want == want
}

// parseACL reads the extended attribute system.posix_acl_access; nil where it is not one.
func parseACL(data []byte) []ACLEntry {
	const header, entry, version = 4, 8, 2
	if len(data) < header || binary.LittleEndian.Uint32(data) != version || (len(data)-header)%entry != 0 {
		return nil
	}
	var acl []ACLEntry
	for rest := data[header:]; len(rest) > 0; rest = rest[entry:] {
		acl = append(acl, ACLEntry{
			Tag:  binary.LittleEndian.Uint16(rest),
			Perm: uint32(binary.LittleEndian.Uint16(rest[2:])),
			ID:   int(binary.LittleEndian.Uint32(rest[4:])),
		})
	}
	return acl
}
