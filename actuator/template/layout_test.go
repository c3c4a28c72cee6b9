package template

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

func TestLayoutOf(t *testing.T) {
	entry := "\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b" + "0123456789abcdef" +
		"\x00\x08\x00\x00\x00\x00\x00\x00" + "\xff\x0f\x00\x00\x00\x00\x00\x00"
	for name, tt := range map[string]struct {
		head []byte
		want string
	}{
		"zeroes":  {make([]byte, headSize), "none []"},
		"nothing": {nil, "none []"},
		"mbr": {
			at(510, "\x55\xaa", 446, "\x80\x00\x00\x00\x83\x00\x00\x00\x00\x08\x00\x00\x00\x10\x00\x00", 494,
				"\x00\x00\x00\x00\xb7\x00\x00\x00\x00\x20\x00\x00\x00\x08\x00\x00"),
			"mbr [1: Linux, 2 MiB at 1 MiB 4: type 0xb7, 1 MiB at 4 MiB]",
		},
		"boot code alone": {at(510, "\x55\xaa", 0, "\xeb"), "none []"},
		"gpt":             {at(510, "\x55\xaa", 512, gptHeader, 1024, entry), "gpt [1: EFI system, 1 MiB at 1 MiB]"},
		"gpt cut off":     {at(510, "\x55\xaa", 512, gptHeader, 1024, entry)[:1100], "gpt []"},
	} {
		l := layoutOf(tt.head)
		if got := fmt.Sprint(l.Table, " ", l.Partitions); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

func TestFileSystemOf(t *testing.T) {
	dir := t.TempDir()
	for i, tt := range []struct{ tool, kind, label string }{
		{"mke2fs -q -t ext4 -L root", "ext4", "root"},
		{"mke2fs -q -t ext2", "ext2", ""},
		{"mke2fs -q -t ext3", "ext3", ""},
		{"mformat -v BOOT -T 16384 -h 16 -s 32 -i", "vfat", "BOOT"},
	} {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 8*mibBytes)); err != nil {
			t.Fatal(err)
		}
		words := append(slices.Clone(strings.Fields(tt.tool)), path)
		if words[0] == "mformat" {
			words = append(words, "::")
		}
		if err := hosttool.Run(t.Context(), nil, words[0], words[1:]...); err != nil {
			t.Fatal(err)
		}
		head, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if kind, label := fileSystemOf(head[:fileSystemHead]); kind != tt.kind || label != tt.label {
			t.Errorf("%s: got %s %q", tt.tool, kind, label)
		}
		for n := range 200 {
			fileSystemOf(head[:n*10]) // cut off anywhere
		}
	}
	for kind, head := range map[string][]byte{
		"": make([]byte, headSize), "xfs": []byte("XFSB"), "btrfs": append(make([]byte, 64*1024+64), "_BHRfS_M"...),
		"swap": at(4086, "SWAPSPACE2"),
		"luks": []byte("LUKS\xba\xbe"), "lvm": at(512, "LABELONE"),
	} {
		if got, _ := fileSystemOf(head); got != kind {
			t.Errorf("got %q, want %q", got, kind)
		}
	}
}

func TestReadLayout(t *testing.T) {
	dir := t.TempDir()
	root, disk, image := filepath.Join(dir, "root"), filepath.Join(dir, "disk"), filepath.Join(dir, "image.qcow2")
	mbr := at(510, "\x55\xaa", 0, "\xeb", 446, "\x80\x00\x00\x00\x83\x00\x00\x00\x00\x08\x00\x00\x00\x20\x00\x00")
	if err := errors.Join(os.WriteFile(root, nil, 0o600), os.Truncate(root, 4*mibBytes)); err != nil {
		t.Fatal(err)
	}
	if err := hosttool.Run(t.Context(), nil, "mke2fs", "-q", "-t", "ext4", "-L", "web", root); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(disk, slices.Concat(mbr, make([]byte, 1*mibBytes-len(mbr)), content), 0o600); err != nil {
		t.Fatal(err)
	}
	img(t, "convert", "-f", "raw", "-O", "qcow2", "-c", disk, image)
	l, err := ReadLayout(t.Context(), image)
	if got, want := fmt.Sprint(l.Partitions), `[1: Linux, 4 MiB at 1 MiB, ext4 "web"]`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}
