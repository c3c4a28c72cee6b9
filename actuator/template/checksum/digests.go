package checksum

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
)

// Digests are those of a file as it is published, in hexadecimal digits; "" is unknown.
type Digests struct {
	SHA256 string
	SHA512 string
}

// Any reports whether one is known.
func (d Digests) Any() bool { return d != Digests{} }

// Merge adds what is known by other; the error is that they contradict each other.
func (d Digests) Merge(other Digests) (Digests, error) {
	for _, x := range []struct {
		name       string
		mine, more *string
	}{{"SHA-256", &d.SHA256, &other.SHA256}, {"SHA-512", &d.SHA512, &other.SHA512}} {
		if *x.mine != "" && *x.more != "" && !strings.EqualFold(*x.mine, *x.more) {
			return d, fmt.Errorf("found two %s for one file: %s and %s", x.name, *x.mine, *x.more)
		}
		if *x.mine == "" {
			*x.mine = *x.more
		}
	}
	return d, nil
}

// Differs tells how d is not what is wanted; "" where it is.
func (d Digests) Differs(want Digests) string {
	for _, x := range []struct{ name, found, want string }{
		{"SHA-256", d.SHA256, want.SHA256},
		{"SHA-512", d.SHA512, want.SHA512},
	} {
		if x.want != "" && !strings.EqualFold(x.found, x.want) {
			return fmt.Sprintf("found %s %s, want %s", x.name, x.found, x.want)
		}
	}
	return ""
}

// Digester takes both of what is written to it.
type Digester struct {
	io.Writer
	short, long hash.Hash
}

// NewDigester has had nothing written to it.
func NewDigester() *Digester {
	short, long := sha256.New(), sha512.New()
	return &Digester{io.MultiWriter(short, long), short, long}
}

// Digests are those of all that was written.
func (d *Digester) Digests() Digests {
	return Digests{hex.EncodeToString(d.short.Sum(nil)), hex.EncodeToString(d.long.Sum(nil))}
}
