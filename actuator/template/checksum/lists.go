package checksum

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Lines of lists of checksums: of coreutils ("HEX  NAME", "HEX *NAME"), of BSD ("SHA256 (NAME) = HEX"), and a digest alone, as
// beside one file.
var (
	coreutilsLine = regexp.MustCompile(`^\\?([0-9a-fA-F]{32,128})[ \t]+\*?(\S.*)$`)
	bsdLine       = regexp.MustCompile(`^SHA-?(256|512) ?\((.+)\) ?= ?([0-9a-fA-F]+)$`)
	bareLine      = regexp.MustCompile(`^[0-9a-fA-F]{64,128}$`)
)

const (
	sha256Digits = 64
	sha512Digits = 128
)

// Find looks for a file in a list of checksums, as distributions publish them: SHA256SUMS, SHA512SUMS, CHECKSUM, or one
// beside the file. Signatures in it are not looked at. The errors name the list as called.
func Find(list []byte, name, called string) (Digests, error) {
	var found Digests
	var bare []string
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(list))
	lines.Buffer(nil, len(list)+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		of, digest := "", ""
		if m := bsdLine.FindStringSubmatch(line); m != nil {
			of, digest = m[2], m[3]
		} else if m := coreutilsLine.FindStringSubmatch(line); m != nil {
			of, digest = m[2], m[1]
		} else if bareLine.MatchString(line) {
			bare = append(bare, line)
			continue
		}
		d, ok := digestOf(digest)
		if !ok {
			continue
		}
		if path.Base(of) != name {
			names = append(names, path.Base(of))
			continue
		}
		var err error
		if found, err = found.Merge(d); err != nil {
			return Digests{}, fmt.Errorf("%s: %s: %w", called, name, err)
		}
	}
	if !found.Any() && len(bare) == 1 && len(names) == 0 {
		found, _ = digestOf(bare[0])
	}
	if !found.Any() {
		return Digests{}, fmt.Errorf("%s: found no SHA-256 or SHA-512 of %q; it has %s", called, name, someOf(names))
	}
	return found, nil
}

// digestOf tells by its length which digest it is.
func digestOf(digits string) (Digests, bool) {
	if _, err := hex.DecodeString(digits); err != nil {
		return Digests{}, false
	}
	switch digits = strings.ToLower(digits); len(digits) {
	case sha256Digits:
		return Digests{SHA256: digits}, true
	case sha512Digits:
		return Digests{SHA512: digits}, true
	}
	return Digests{}, false
}

// Parse reads a digest that a person gave, of so many bits.
func Parse(digits string, bits int) (Digests, error) {
	d, ok := digestOf(strings.TrimSpace(digits))
	if !ok || bits == 256 && d.SHA256 == "" || bits == 512 && d.SHA512 == "" {
		return Digests{}, fmt.Errorf("found %q, want %d hexadecimal digits", digits, bits/4)
	}
	return d, nil
}

func someOf(names []string) string {
	const most = 8
	if len(names) == 0 {
		return "none at all"
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > most {
		return fmt.Sprintf("those of %s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return "those of " + strings.Join(names, ", ")
}
