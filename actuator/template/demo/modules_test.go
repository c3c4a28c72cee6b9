package demo

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

func TestLoadOrder(t *testing.T) {
	broken := errors.New("broken module")
	depends := map[string][]string{
		"virtio":         {"virtio_ring"},
		"virtio_ring":    nil,
		"virtio_pci":     {"virtio", "virtio_ring", "virtio_pci_modern_dev"},
		"virtio_net":     {"virtio", "net_failover"},
		"net_failover":   {"failover"},
		"failover":       nil,
		"ext4":           {"jbd2", "mbcache"},
		"mbcache":        nil,
		"jbd2":           nil,
		"needs_missing":  {"missing"},
		"circular_left":  {"circular_right"},
		"circular_right": {"circular_left"},
	}
	tests := []struct {
		name    string
		wanted  []wantedModule
		loaded  []string
		builtin []string
		want    string // or
		err     string // what the error must say
	}{
		{name: "nothing"},
		{
			name:    "dependencies come first, each once",
			wanted:  []wantedModule{{name: "virtio_pci"}, {name: "virtio_net"}},
			builtin: []string{"virtio_pci_modern_dev"},
			want:    "virtio_ring virtio virtio_pci failover net_failover virtio_net",
		},
		{name: "built in", wanted: []wantedModule{{name: "ext4"}}, builtin: []string{"ext4"}},
		{name: "dependency built in", wanted: []wantedModule{{name: "ext4"}}, builtin: []string{"jbd2"}, want: "mbcache ext4"},
		{
			name:   "loaded before",
			wanted: []wantedModule{{name: "virtio_net"}},
			loaded: []string{"virtio_ring", "virtio"},
			want:   "failover net_failover virtio_net",
		},
		{name: "unknown and optional", wanted: []wantedModule{{name: "missing", optional: true}, {name: "mbcache"}}, want: "mbcache"},
		{name: "unknown and required", wanted: []wantedModule{{name: "missing"}}, err: "no module missing"},
		{name: "dependency unknown", wanted: []wantedModule{{name: "needs_missing"}}, err: "missing, needed by needs_missing"},
		{
			name:   "dependency of an optional one unknown",
			wanted: []wantedModule{{name: "needs_missing", optional: true}},
			err:    "needed by needs_missing",
		},
		{name: "circular", wanted: []wantedModule{{name: "circular_left"}}, want: "circular_right circular_left"},
		{name: "unreadable", wanted: []wantedModule{{name: "unreadable", optional: true}}, err: broken.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			builtin := map[string]bool{}
			for _, name := range tt.builtin {
				builtin[name] = true
			}
			got, err := loadOrder(tt.wanted, tt.loaded, moduleTree{builtin: builtin, depends: func(name string) ([]string, bool, error) {
				if name == "unreadable" {
					return nil, false, broken
				}
				deps, ok := depends[name]
				return deps, ok, nil
			}})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error = %v, want one that says %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("order = %v, want %s", got, tt.want)
			}
		})
	}
}

func TestModuleName(t *testing.T) {
	tests := []struct {
		path, want string
		ok         bool
	}{
		{"kernel/drivers/virtio/virtio_pci.ko", "virtio_pci", true},
		{"kernel/drivers/char/hw_random/virtio-rng.ko.xz", "virtio_rng", true},
		{"a/evdev.ko.zst", "evdev", true},
		{"a/evdev.ko.gz", "evdev", true},
		{"a/modules.order", "", false},
		{"a/evdev.ko.bak", "", false},
	}
	for _, tt := range tests {
		name, ok := moduleName(tt.path)
		if ok != tt.ok || ok && name != tt.want {
			t.Errorf("moduleName(%q) = %q, %v, want %q, %v", tt.path, name, ok, tt.want, tt.ok)
		}
	}
}

func TestBuiltinModules(t *testing.T) {
	got := builtinModules("kernel/fs/ext4/ext4.ko\nkernel/drivers/char/virtio-rng.ko\n\n")
	if !got["ext4"] || !got["virtio_rng"] || len(got) != 2 {
		t.Errorf("built in: %v", got)
	}
}

func TestUnsigned(t *testing.T) {
	header := []byte{0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3}
	signed := slices.Concat([]byte("module"), []byte("sig"), header, []byte("~Module signature appended~\n"))
	tooLong := slices.Concat([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3}, []byte("~Module signature appended~\n"))
	for _, tt := range []struct{ in, want string }{
		{string(signed), "module"},
		{"module", "module"},
		{"~Module signature appended~\n", "~Module signature appended~\n"},
		{string(tooLong), string(tooLong)},
	} {
		if got := string(unsigned([]byte(tt.in))); got != tt.want {
			t.Errorf("unsigned(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestDecompress(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "m.ko")
	want := []byte(strings.Repeat("module ", 100))
	if err := os.WriteFile(plain, want, 0o644); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plain+".gz", packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := hosttool.Run(t.Context(), nil, "xz", "-k", plain); err != nil {
		t.Fatal(err)
	}
	if err := hosttool.Run(t.Context(), nil, "zstd", "-q", plain); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		got, err := decompress(t.Context(), plain+suffix)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("m.ko%s: %d bytes, %v; want %d bytes", suffix, len(got), err, len(want))
		}
	}
}

func TestFindKernel(t *testing.T) {
	tests := []struct {
		name             string
		files            []string
		vmlinuz, modules string // or
		err              string // what the error must say
	}{
		{
			name:    "Debian 12",
			files:   []string{"boot/vmlinuz-6.1", "lib/modules/6.1/modules.builtin"},
			vmlinuz: "boot/vmlinuz-6.1", modules: "lib/modules/6.1",
		},
		{
			name:    "modules below usr",
			files:   []string{"boot/vmlinuz-6.12", "usr/lib/modules/6.12/modules.builtin"},
			vmlinuz: "boot/vmlinuz-6.12", modules: "usr/lib/modules/6.12",
		},
		{
			name:    "kernel beside its modules",
			files:   []string{"usr/lib/modules/7.2/vmlinuz", "usr/lib/modules/7.2/modules.builtin"},
			vmlinuz: "usr/lib/modules/7.2/vmlinuz", modules: "usr/lib/modules/7.2",
		},
		{name: "none", files: []string{"usr/lib/modules/7.2/modules.builtin"}, err: "0 kernels"},
		{name: "two", files: []string{"boot/vmlinuz-6.1", "usr/lib/modules/7.2/vmlinuz"}, err: "2 kernels"},
		{name: "no modules", files: []string{"boot/vmlinuz-6.1", "lib/modules/6.2/modules.builtin"}, err: "no modules for kernel 6.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for _, name := range tt.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			vmlinuz, modules, err := findKernel(root)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error = %v, want one that says %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if vmlinuz != filepath.Join(root, tt.vmlinuz) || modules != filepath.Join(root, tt.modules) {
				t.Errorf("got %s and %s, want %s and %s", vmlinuz, modules, tt.vmlinuz, tt.modules)
			}
		})
	}
}
