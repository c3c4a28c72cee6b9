package catalog

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each image that is built in has addresses by https for this architecture, and a list of checksums.
func TestBuiltIn(t *testing.T) {
	images, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(images, func(a, b Image) int { return strings.Compare(a.Name, b.Name) }) || len(images) == 0 {
		t.Errorf("found %s", Names(images))
	}
	for _, i := range images {
		image, sums, err := i.For("amd64")
		if err != nil || !strings.HasPrefix(image, "https://") || !strings.HasPrefix(sums, "https://") ||
			strings.ContainsAny(image+sums, "{}") {
			t.Errorf("%s: %s, %s, %v", i.Name, image, sums, err)
		}
		if i.Title == "" || i.User == "" || i.Agent == "" || i.Firmware == "" {
			t.Errorf("%s: something is missing: %+v", i.Name, i)
		}
	}
	if i := Find(images, "debian-12"); i == nil || Find(images, "debian") != nil {
		t.Errorf("find: %+v", i)
	}
}

func TestFor(t *testing.T) {
	i := Image{
		Name: "a", URL: "https://x/{arch}/{arch}.img", Checksums: "https://x/SUMS",
		Arch: map[string]string{"amd64": "x86_64", "arm64": "a"},
	}
	if image, sums, err := i.For("amd64"); image != "https://x/x86_64/x86_64.img" || sums != "https://x/SUMS" || err != nil {
		t.Errorf("%s, %s, %v", image, sums, err)
	}
	_, _, err := i.For("riscv64")
	if err == nil || !strings.Contains(err.Error(), "riscv64, want one that is published: amd64, arm64") {
		t.Errorf("another architecture: %v", err)
	}
}

// A list of the user's adds to the built-in one, and says what is wrong with it.
func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "images.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("- {name: mine, title: Mine, url: 'https://x/{arch}', arch: {amd64: x}}\n" +
		"- {name: debian-12, title: Ours, url: 'http://mirror/x', arch: {amd64: x}, agent: 'yes'}\n")
	images, err := Load(file)
	if err != nil || Find(images, "mine") == nil || Find(images, "debian-12").Title != "Ours" || Find(images, "debian-13") == nil {
		t.Errorf("%s, %v", Names(images), err)
	}
	const good = "name: a, url: 'https://x/y', arch: {amd64: x}"
	for text, want := range map[string]string{
		"- {name: A, url: 'https://x/y', arch: {amd64: x}}": `name: found "A"`,
		"- {name: a, arch: {amd64: x}}":                     "url: found none",
		"- {name: a, url: 'ftp://x/y', arch: {amd64: x}}":   `url: found "ftp://x/y"`,
		"- {name: a, url: /etc/passwd, arch: {amd64: x}}":   `url: found "/etc/passwd"`,
		"- {" + good + ", checksums: SUMS}":                 `checksums: found "SUMS"`,
		"- {name: a, url: 'https://x/y'}":                   "arch: found none",
		"- {" + good + ", agent: maybe}":                    `agent: found "maybe", want yes, no, unknown`,
		"- {" + good + ", firmware: coreboot}":              `firmware: found "coreboot"`,
		"- {" + good + ", login: root}":                     `unknown field "login", want name, title, url, checksums, arch,`,
		"- {" + good + "}\n- {" + good + "}":                "twice",
		"name: a":                                           file,
		strings.Repeat("# nothing\n", maxFile/10+1):         "want at most that",
	} {
		write(text)
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	write("")
	if _, err := Load(file); err != nil {
		t.Errorf("an empty list: %v", err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}
