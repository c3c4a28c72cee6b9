package demo

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

// A wantedModule is a driver the guest uses. Which of them are modules, and
// what each depends on, differs between kernels and is read from the packages.
type wantedModule struct {
	name     string
	optional bool // the guest works without it
}

// rootModules are loaded by the initrd, to reach the root file system.
var rootModules = []wantedModule{
	{name: "virtio_pci"},
	{name: "virtio_blk"},
	{name: "crc32c_generic", optional: true}, // ext4 asks for it by algorithm, not by symbol; part of newer kernels
	{name: "ext4"},
}

// deviceModules are loaded afterwards, in the order of their use: the agent's
// channel first.
var deviceModules = []wantedModule{
	{name: "virtio_console"},
	{name: "virtio_rng", optional: true},
	{name: "virtio_balloon", optional: true},
	{name: "button"},
	{name: "evdev"},
	{name: "virtio_net"},
	{name: "af_packet"}, // DHCP
	{name: "ipv6", optional: true},
	{name: "isofs", optional: true}, // so that a person can mount a seed
}

// A moduleTree tells what a kernel has.
type moduleTree struct {
	builtin map[string]bool
	// depends returns a module's direct dependencies; ok is false if the kernel
	// has no such module.
	depends func(name string) (deps []string, ok bool, err error)
}

// loadOrder is the list of modules to insmod, each after all it depends on.
// Built-in ones are left out, and so are those in loaded.
func loadOrder(wanted []wantedModule, loaded []string, tree moduleTree) ([]string, error) {
	var order []string
	done := map[string]bool{}
	for _, name := range loaded {
		done[name] = true
	}
	var visit func(name, neededBy string, optional bool) error
	visit = func(name, neededBy string, optional bool) error {
		if done[name] || tree.builtin[name] {
			return nil
		}
		deps, ok, err := tree.depends(name)
		switch {
		case err != nil:
			return fmt.Errorf("kernel module %s: %w", name, err)
		case !ok && optional:
			return nil
		case !ok && neededBy != "":
			return fmt.Errorf("the kernel has no module %s, needed by %s", name, neededBy)
		case !ok:
			return fmt.Errorf("the kernel has no module %s", name)
		}
		done[name] = true
		for _, dep := range deps {
			if err := visit(dep, name, false); err != nil {
				return err
			}
		}
		order = append(order, name)
		return nil
	}
	for _, m := range wanted {
		if err := visit(m.name, "", m.optional); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleName is the kernel's name of the module in a file: dashes become
// underscores, and .ko with its compression is cut. ok is false for files that
// are no modules.
func moduleName(path string) (name string, ok bool) {
	base := filepath.Base(path)
	name, suffix, ok := strings.Cut(base, ".ko")
	switch suffix {
	case "", ".gz", ".xz", ".zst":
	default:
		return "", false
	}
	return strings.ReplaceAll(name, "-", "_"), ok
}

// builtinModules reads a modules.builtin file: one path a line.
func builtinModules(content string) map[string]bool {
	builtin := map[string]bool{}
	for line := range strings.Lines(content) {
		if name, ok := moduleName(strings.TrimSpace(line)); ok {
			builtin[name] = true
		}
	}
	return builtin
}

// kernelModules are the modules of one unpacked kernel package.
type kernelModules struct {
	builtin map[string]bool
	files   map[string]string // name -> file
	content map[string][]byte // uncompressed and unsigned; filled as they are asked for
}

// findModules indexes the folder lib/modules/VERSION.
func findModules(dir string) (*kernelModules, error) {
	list, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("list built-in kernel modules: %w", err)
	}
	k := &kernelModules{builtin: builtinModules(string(list)), files: map[string]string{}, content: map[string][]byte{}}
	err = filepath.WalkDir(filepath.Join(dir, "kernel"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name, ok := moduleName(path); ok && d.Type().IsRegular() {
			k.files[name] = path
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list kernel modules: %w", err)
	}
	return k, nil
}

// tree reads dependencies from the modules themselves. modules.dep would say the
// same, but no kernel package ships it: depmod makes it on installation.
func (k *kernelModules) tree(ctx context.Context) moduleTree {
	return moduleTree{builtin: k.builtin, depends: func(name string) ([]string, bool, error) {
		if k.files[name] == "" {
			return nil, false, nil
		}
		ko, err := k.read(ctx, name)
		if err != nil {
			return nil, false, err
		}
		deps, err := moduleDepends(ko)
		return deps, true, err
	}}
}

// read returns a module as the guest loads it.
func (k *kernelModules) read(ctx context.Context, name string) ([]byte, error) {
	if ko, ok := k.content[name]; ok {
		return ko, nil
	}
	ko, err := decompress(ctx, k.files[name])
	if err != nil {
		return nil, fmt.Errorf("read kernel module %s: %w", name, err)
	}
	k.content[name] = unsigned(ko)
	return k.content[name], nil
}

// moduleDepends reads "depends=a,b" from a module's .modinfo section.
func moduleDepends(ko []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(ko))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	var deps []string
	for field := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			for dep := range strings.SplitSeq(list, ",") {
				deps = append(deps, strings.ReplaceAll(dep, "-", "_"))
			}
		}
	}
	return deps, nil
}

// unsigned cuts a module's appended signature. No kernel of Debian or Ubuntu
// insists on one without secure boot, which the guest does not use, and checking
// it costs an emulated CPU 50 ms for each module.
//
// The file ends in: signature, 12 bytes of which the last four are the
// signature's length (big endian), magic.
func unsigned(ko []byte) []byte {
	const magic = "~Module signature appended~\n"
	const header = 12
	body, ok := bytes.CutSuffix(ko, []byte(magic))
	if !ok || len(body) < header {
		return ko
	}
	signature := uint64(binary.BigEndian.Uint32(body[len(body)-4:]))
	if signature > uint64(len(body)-header) {
		return ko
	}
	return body[:uint64(len(body)-header)-signature]
}

// decompress reads a file as its suffix says it is packed.
func decompress(ctx context.Context, path string) ([]byte, error) {
	var out bytes.Buffer
	switch filepath.Ext(path) {
	case ".xz":
		err := hosttool.Run(ctx, &out, "xz", "-dc", path)
		return out.Bytes(), err
	case ".zst":
		err := hosttool.Run(ctx, &out, "zstd", "-dcq", path)
		return out.Bytes(), err
	case ".gz":
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	}
	return os.ReadFile(path)
}
