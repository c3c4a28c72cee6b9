package catalog

import (
	"bytes"
	_ "embed" // for the built-in list
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed images.yaml
var builtIn []byte

// Image is a published disk image.
type Image struct {
	Name      string            `yaml:"name" json:"name"`
	Title     string            `yaml:"title" json:"title"`
	URL       string            `yaml:"url" json:"url"`
	Checksums string            `yaml:"checksums" json:"checksums,omitempty"` // URL of a checksum list; "": none is published
	Arch      map[string]string `yaml:"arch" json:"arch"`                     // Go's architecture names to those in the URLs
	User      string            `yaml:"user" json:"user,omitempty"`           // cloud-init's default user; "": unknown
	Agent     string            `yaml:"agent" json:"agent"`                   // whether it has the guest agent: yes, no or unknown
	Firmware  string            `yaml:"firmware" json:"firmware,omitempty"`   // what boots it: bios, uefi or both; "": unknown
	Notes     string            `yaml:"notes" json:"notes,omitempty"`
}

// maxFile is the maximum size of a catalog file, in bytes.
const maxFile = 256 * 1024

const archField = "{arch}"

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9.-]{0,39}$`)

// Load reads the built-in catalog and the given files. An image in a file overrides an earlier one of the same name. The result
// is sorted by name.
func Load(files ...string) ([]Image, error) {
	all := map[string]Image{}
	if err := add(all, builtIn, "the built-in catalog"); err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := read(file)
		if err != nil {
			return nil, err
		}
		if err := add(all, text, file); err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b Image) int { return strings.Compare(a.Name, b.Name) }), nil
}

func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("read the catalog: %s has over %d bytes, want at most that", file, maxFile)
	}
	return text, nil
}

func add(all map[string]Image, text []byte, called string) error {
	var images []Image
	err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&images)
	var unknown *yaml.UnknownFieldError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%s: %s, want %s", called, yaml.FormatError(err, false, false), strings.Join(fields(), ", "))
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("%s: %s", called, yaml.FormatError(err, false, false))
	}
	seen := map[string]bool{}
	for n, i := range images {
		if err := i.check(); err != nil {
			return fmt.Errorf("%s: image %d (%q): %w", called, n+1, i.Name, err)
		}
		if seen[i.Name] {
			return fmt.Errorf("%s: image %d: found the name %q twice, want it once", called, n+1, i.Name)
		}
		seen[i.Name] = true
		all[i.Name] = i
	}
	return nil
}

// fields returns the field names of an image in a catalog file.
func fields() []string {
	var names []string
	for field := range reflect.TypeFor[Image]().Fields() {
		names = append(names, field.Tag.Get("yaml"))
	}
	return names
}

func (i Image) check() error {
	if !namePattern.MatchString(i.Name) {
		return fmt.Errorf("name: found %q, want a lower-case letter, then up to 39 lower-case letters, digits, dots and dashes", i.Name)
	}
	if i.URL == "" {
		return fmt.Errorf("url: found none, want one")
	}
	for field, text := range map[string]string{"url": i.URL, "checksums": i.Checksums} {
		u, err := url.Parse(strings.ReplaceAll(text, archField, "x"))
		if text != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
			return fmt.Errorf("%s: found %q, want an address of https or http", field, text)
		}
	}
	if len(i.Arch) == 0 {
		return fmt.Errorf("arch: found none, want such as {amd64: x86_64}")
	}
	for _, choice := range []struct {
		field, found string
		want         []string
	}{
		{"agent", i.Agent, []string{"", "yes", "no", "unknown"}},
		{"firmware", i.Firmware, []string{"", "bios", "uefi", "both"}},
	} {
		if !slices.Contains(choice.want, choice.found) {
			return fmt.Errorf("%s: found %q, want %s", choice.field, choice.found, strings.Join(choice.want[1:], ", "))
		}
	}
	return nil
}

// Find returns the image with a name, or nil.
func Find(images []Image, name string) *Image {
	n := slices.IndexFunc(images, func(i Image) bool { return i.Name == name })
	if n < 0 {
		return nil
	}
	return &images[n]
}

// Names lists the names of all images, for messages.
func Names(images []Image) string {
	names := make([]string, 0, len(images))
	for _, i := range images {
		names = append(names, i.Name)
	}
	return strings.Join(names, ", ")
}

// For returns the URLs of the image and of its checksums for an architecture, which is named as Go does (GOARCH). It returns an
// error if the image is not published for it.
func (i Image) For(arch string) (image, checksums string, err error) {
	there, ok := i.Arch[arch]
	if !ok {
		return "", "", fmt.Errorf("image %s: found the architecture %s, want one that is published: %s",
			i.Name, arch, strings.Join(slices.Sorted(maps.Keys(i.Arch)), ", "))
	}
	return strings.ReplaceAll(i.URL, archField, there), strings.ReplaceAll(i.Checksums, archField, there), nil
}
