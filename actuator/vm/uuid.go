package vm

import (
	"crypto/rand"
	"fmt"
)

// NewUUID is a random (version 4) UUID, as libvirt would choose. It is chosen here because the volume's name, and
// with it the definition, contains it.
func NewUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
