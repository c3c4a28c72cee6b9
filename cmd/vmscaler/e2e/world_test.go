package e2e

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
)

// patience is how long a step on real VMs may take on a slow, busy machine. Nothing waits for it when all is well.
const patience = 2 * time.Minute

// world is a libvirt with a pool, a network and a group of the test's own.
type world struct {
	t         testing.TB
	uri       string
	conn      *libvirt.Connect
	dir       string // the pool's folder
	pool      string
	disks     string // the folder of the disks' pool, "" if that is the same; see separateDisks
	network   string
	group     string
	env       []string
	state     string        // the state folder of its buses
	ended     chan *process // one that ended by itself
	sum       string        // of the template
	templates []string      // the volumes of further ones
}

// newWorld makes one on the machine's own libvirt.
func newWorld(t testing.TB) *world {
	uri := os.Getenv("LIBVIRT_DEFAULT_URI")
	if uri == "" {
		uri = "qemu:///system"
	}
	w := newWorldAt(t, uri, poolFolder(t))
	if !strings.Contains(uri, "/session") {
		w.network = w.makeNetwork(98)
	}
	return w
}

// poolFolder is a folder for a pool. It is not below the user's home, which the hypervisor's user may not enter.
func poolFolder(t testing.TB) string {
	dir, err := os.MkdirTemp("/var/tmp", "vmscaler-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// newWorldAt makes one at a URI, with its pool in dir.
func newWorldAt(t testing.TB, uri, dir string) *world {
	t.Helper()
	id := strings.ToLower(rand.Text()[:6])
	id = strings.Map(func(r rune) rune { // letters only: a group's name does not end in a number
		if r >= '2' && r <= '7' {
			return 'a' + r - '2'
		}
		return r
	}, id)
	state := t.TempDir()
	w := &world{
		t: t, uri: uri, dir: dir, pool: "e2e-" + id, network: "user", group: "e2e-" + id, state: state, ended: make(chan *process, 1),
		env: []string{
			"VMSCALER_STATE_DIR=" + state,
			"VMSCALER_LOCK_DIR=" + t.TempDir(),
			"XDG_STATE_HOME=" + t.TempDir(),
			"NO_COLOR=1",
			"VMSCALER_HTTP=off", // a test that looks at it has an address of its own
			"LIBVIRT_DEFAULT_URI=",
		},
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	conn, err := libvirt.NewConnect(uri)
	if err != nil {
		t.Fatalf("connect to %s: %s", uri, err)
	}
	w.conn = conn
	t.Cleanup(func() { _, _ = w.conn.Close() })
	w.makePool()
	if err := template.Upload(t.Context(), conn, template.Target{Pool: w.pool, Name: "demo"}, templateFile, nil); err != nil {
		t.Fatal(err)
	}
	w.sum = fileSum(t, w.templatePath())
	t.Cleanup(w.leaveNothing)
	return w
}

func (w *world) templatePath() string { return filepath.Join(w.dir, template.VolumeName("demo")) }

func (w *world) makePool() {
	w.makePoolIn(w.pool, w.dir)
	w.t.Cleanup(func() { w.dropPool(w.pool) }) // a test may have renamed it
}

func (w *world) makePoolIn(name, dir string) {
	pool, err := w.conn.StoragePoolDefineXML(fmt.Sprintf(
		`<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>`, name, dir), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = pool.Free() }()
	if err := pool.Create(0); err != nil {
		w.t.Fatal(err)
	}
}

// diskPool is the pool of the VMs' disks.
func (w *world) diskPool() string {
	if w.disks == "" {
		return w.pool
	}
	return w.pool + "-disks"
}

// separateDisks gives the VMs' disks a pool of their own.
func (w *world) separateDisks() {
	w.t.Helper()
	disks := poolFolder(w.t)
	if err := os.Chmod(disks, 0o755); err != nil {
		w.t.Fatal(err)
	}
	name := w.pool + "-disks"
	w.makePoolIn(name, disks)
	w.t.Cleanup(func() { w.dropPool(name) })
	w.disks = disks
	w.t.Cleanup(w.leaveNothing) // while that pool is there
}

func (w *world) dropPool(name string) {
	pool, err := w.conn.LookupStoragePoolByName(name)
	if err != nil {
		w.t.Errorf("drop the pool: %s", err)
		return
	}
	defer func() { _ = pool.Free() }()
	_ = pool.Destroy()
	if err := pool.Undefine(); err != nil {
		w.t.Errorf("drop the pool: %s", err)
	}
}

// refreshPool tells libvirt of what changed in the pool's folder.
func (w *world) refreshPool() {
	w.t.Helper()
	pool, err := w.conn.LookupStoragePoolByName(w.pool)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = pool.Free() }()
	if err := pool.Refresh(0); err != nil {
		w.t.Fatal(err)
	}
}

// makeNetwork makes an isolated network that hands out so many addresses.
func (w *world) makeNetwork(addresses int) string {
	var last error
	for range 20 { // until a subnet is free
		b := make([]byte, 2)
		_, _ = rand.Read(b)
		subnet := fmt.Sprintf("10.%d.%d", 64+b[0]%128, b[1])
		net, err := w.conn.NetworkCreateXML(fmt.Sprintf(`<network><name>%s</name><bridge name='e2e%x'/>
			<ip address='%s.1' netmask='255.255.255.0'><dhcp><range start='%s.2' end='%s.%d'/></dhcp></ip></network>`,
			w.group, b, subnet, subnet, subnet, addresses+1))
		if err != nil {
			last = err
			continue
		}
		w.t.Cleanup(func() {
			if err := net.Destroy(); err != nil {
				w.t.Errorf("drop the network: %s", err)
			}
			_ = net.Free()
		})
		return w.group
	}
	w.t.Fatalf("make a network: %s", last)
	return ""
}

// config writes a config file; group is what stands below the group's name, without indentation.
func (w *world) config(group string) string {
	text := fmt.Sprintf(
		"libvirt:\n  pool: %s\n  disk_pool: %s\nbus:\n  listen: 127.0.0.1:0\ngroups:\n  - name: %s\n    network: %s\n",
		w.pool,
		w.diskPool(),
		w.group,
		w.network,
	)
	for line := range strings.Lines(group) {
		text += "    " + line
	}
	path := filepath.Join(w.t.TempDir(), "vmscaler.yaml")
	text += "\nhost:\n  pool_reserve: 0MiB\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// command is a run of the program to its end.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(program, append([]string{"--uri", w.uri}, args...)...)
	cmd.Env = append(os.Environ(), w.env...)
	return cmd
}

// must runs the program to its end and expects success.
func (w *world) must(args ...string) string {
	w.t.Helper()
	out, err := w.command(args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("vmscaler %s: %s\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// refused runs the program to its end and expects it to fail with words in its message.
func (w *world) refused(args []string, words ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"--uri", w.uri}, args...)...)
	cmd.Env = append(os.Environ(), w.env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() < 1 {
		w.t.Fatalf("vmscaler %s: %v, want a refusal\n%s", strings.Join(args, " "), err, out)
	}
	for _, word := range words {
		if !strings.Contains(string(out), word) {
			w.t.Errorf("vmscaler %s says\n%s\nwant it to name %q", strings.Join(args, " "), out, word)
		}
	}
	return string(out)
}

// vms are the group's VMs that libvirt has.
func (w *world) vms() []vm.VM {
	w.t.Helper()
	inv, err := vm.ReadInventory(w.conn)
	if err != nil {
		w.t.Fatal(err)
	}
	return inv.Group(w.group)
}

// domain is a domain by its name.
func (w *world) domain(name string) *libvirt.Domain {
	w.t.Helper()
	dom, err := w.conn.LookupDomainByName(name)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = dom.Free() })
	return dom
}

// files are what lies in the folders of the pools beside the template.
func (w *world) files() []string {
	w.t.Helper()
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.disks != "" {
		disks, err := os.ReadDir(w.disks)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it is gone at the end of the test
			w.t.Fatal(err)
		}
		entries = append(entries, disks...)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); name != template.VolumeName("demo") && !slices.Contains(w.templates, name) {
			names = append(names, e.Name())
		}
	}
	return names
}

// leaveNothing removes the group's VMs as a user would, and checks that nothing else is left.
func (w *world) leaveNothing() {
	if len(w.vms()) > 0 {
		out, err := w.command("down", w.group, "--yes", "--shutdown-timeout", "5s").CombinedOutput()
		if err != nil {
			w.t.Errorf("vmscaler down: %s\n%s", err, out)
		}
	}
	for _, vm := range w.vms() {
		w.t.Errorf("left behind: domain %s", vm.Name)
		w.forget(vm.Name)
	}
	for _, name := range w.files() {
		w.t.Errorf("left behind: %s", name)
	}
	if sum := fileSum(w.t, w.templatePath()); sum != w.sum {
		w.t.Errorf("the template was changed")
	}
}

// forget removes a domain by force.
func (w *world) forget(name string) {
	dom, err := w.conn.LookupDomainByName(name)
	if err != nil {
		return
	}
	_ = dom.Destroy()
	_ = dom.Undefine()
	_ = dom.Free()
}

func fileSum(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Error(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
