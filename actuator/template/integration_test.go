package template

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"libvirt.org/go/libvirt"
)

const (
	bootLimit  = 90 * time.Second
	agentLimit = 5 // seconds
)

// TestBuildBootsToAgent builds a guest of each kernel, uploads it, and boots a
// clone until its agent answers and tells who it is.
func TestBuildBootsToAgent(t *testing.T) {
	conn := connect(t)
	pool, dir := makePool(t, conn)
	for _, tt := range []struct{ kernel, machine string }{{KernelCloud, "q35"}, {KernelGeneric, "pc"}} {
		t.Run(tt.kernel, func(t *testing.T) {
			file := buildImage(t, tt.kernel)
			if err := Upload(t.Context(), conn, Target{Pool: pool, Name: tt.kernel}, file, nil); err != nil {
				t.Fatal(err)
			}
			info, err := Lookup(conn, pool, tt.kernel)
			if err != nil {
				t.Fatal(err)
			}
			if !info.Complete || info.Format != "qcow2" || info.Capacity != rootStart+rootSize || filepath.Dir(info.Path) != dir {
				t.Errorf("template %+v", info)
			}
			if st, err := os.Stat(info.Path); err != nil || st.Mode().Perm() != 0o444 {
				t.Errorf("volume's mode: %v, %v", st, err)
			}
			bootClone(t, conn, info, tt.machine)
		})
	}
}

// A build whose caller gives up leaves nothing, at whatever stage.
func TestBuildCancelledLeavesNothing(t *testing.T) {
	for _, stage := range []string{"resolving", "unpacking", "compressing"} {
		t.Run(stage, func(t *testing.T) {
			work, out := t.TempDir(), t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := Build(ctx, BuildConfig{
				Output: filepath.Join(out, "t.qcow2"), TempDir: work, CacheDir: packageCache(t),
				Progress: func(step string) {
					if strings.HasPrefix(step, stage) {
						time.AfterFunc(300*time.Millisecond, cancel) // in the middle of the tool's work
					}
				},
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want context canceled", err)
			}
			assertEmpty(t, work)
			assertEmpty(t, out)
		})
	}
}

func TestBuildRefusesExistingOutput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.qcow2")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), BuildConfig{Output: file}); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v, want file exists", err)
	}
}

func TestUpload(t *testing.T) {
	conn := connect(t)
	pool, dir := makePool(t, conn)
	image := sampleImage(t)

	if _, err := Lookup(conn, pool, "web"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "there are none") {
		t.Errorf("look up in an empty pool: %v", err)
	}
	var last, total int64
	if err := Upload(t.Context(), conn, Target{Pool: pool, Name: "web"}, image, func(d, n int64) { last, total = d, n }); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(image); err != nil || last != total || total != st.Size() {
		t.Errorf("progress ended at %d of %d, file %v, %v", last, total, st, err)
	}
	if err := Upload(t.Context(), conn, Target{Pool: pool, Name: "web"}, image, nil); !errors.Is(err, ErrExists) {
		t.Errorf("second upload: %v, want ErrExists", err)
	}
	if _, err := Lookup(conn, pool, "db"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "there are: web") {
		t.Errorf("look up of an unknown one: %v", err)
	}
	assertFiles(t, dir, VolumeName("web"))
}

func TestUploadCancelledLeavesNothing(t *testing.T) {
	conn := connect(t)
	pool, dir := makePool(t, conn)
	ctx, cancel := context.WithCancel(t.Context())
	err := Upload(ctx, conn, Target{Pool: pool, Name: "web"}, sampleImage(t), func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context canceled", err)
	}
	assertFiles(t, dir)
}

// What a killed process has left is replaced.
func TestUploadAfterInterruption(t *testing.T) {
	conn := connect(t)
	pool, dir := makePool(t, conn)
	p, err := openPool(conn, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	for _, name := range []string{markerName("web"), VolumeName("web")} {
		v, err := createVolume(p, name, 1*mib, "0644")
		if err != nil {
			t.Fatal(err)
		}
		v.Free()
	}
	if info, err := Lookup(conn, pool, "web"); err != nil || info.Complete {
		t.Errorf("interrupted upload: %+v, %v", info, err)
	}
	if err := upload(t.Context(), conn, Target{Pool: pool, Name: "web"}, opened(t, sampleImage(t)), func(int64, int64) {}, noSignOfLife); err != nil {
		t.Fatal(err)
	}
	if info, err := Lookup(conn, pool, "web"); err != nil || !info.Complete || info.Format != "qcow2" {
		t.Errorf("after the second upload: %+v, %v", info, err)
	}
	assertFiles(t, dir, VolumeName("web"))
}

func opened(t *testing.T, file string) *source {
	t.Helper()
	s, err := openSource(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

func noSignOfLife(context.Context) error { return nil }

// What another process is uploading is left alone.
func TestUploadDuringAnother(t *testing.T) {
	conn, other := connect(t), connect(t)
	pool, dir := makePool(t, conn)
	image := sampleImage(t)

	chunk, done := make(chan struct{}), make(chan error)
	go func() {
		done <- Upload(t.Context(), conn, Target{Pool: pool, Name: "web"}, image, func(int64, int64) { chunk <- struct{}{} })
	}()
	<-chunk
	err := upload(t.Context(), other, Target{Pool: pool, Name: "web"}, opened(t, image), func(int64, int64) {}, func(context.Context) error {
		for range 8 { // the time in which the other gets some chunks further
			<-chunk
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "another upload") {
		t.Errorf("second upload: %v", err)
	}
	for {
		select {
		case <-chunk:
			continue
		case err := <-done:
			if err != nil {
				t.Errorf("first upload: %v", err)
			}
		}
		break
	}
	if info, err := Lookup(conn, pool, "web"); err != nil || !info.Complete {
		t.Errorf("after both: %+v, %v", info, err)
	}
	assertFiles(t, dir, VolumeName("web"))
}

func TestImport(t *testing.T) {
	conn := connect(t)
	pool, dir := makePool(t, conn)
	raw := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(raw, slices.Concat(at(510, "\x55\xaa", 0, "\xeb"), make([]byte, 4*mib-64*1024)), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := Import(t.Context(), conn, Target{Pool: pool, Name: "raw"}, raw, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := Import(t.Context(), conn, Target{Pool: pool, Name: "raw"}, raw, nil, nil); !errors.Is(err, ErrExists) {
		t.Errorf("second import: %v, want ErrExists", err)
	}
	if err := Import(t.Context(), conn, Target{Pool: pool, Name: "Bad_Name"}, raw, nil, nil); err == nil {
		t.Error("a bad name was taken")
	}
	infos, err := List(conn, pool)
	if err != nil || len(infos) != 1 || infos[0].Name != "raw" || infos[0].Format != "qcow2" || infos[0].Capacity != 4*mib {
		t.Errorf("list: %+v, %v", infos, err)
	}
	assertFiles(t, dir, VolumeName("raw"))
}

// A template whose file was deleted behind libvirt's back is named as broken, stands in nobody else's way, and can be
// imported again.
func TestTemplateWhoseFileIsGone(t *testing.T) {
	conn := connect(t)
	pool, dir := makePool(t, conn)
	image := sampleImage(t)
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web", "old"} { // not uploaded, as libvirt refreshes the pool at some moment after that
		if err := os.WriteFile(filepath.Join(dir, VolumeName(name)), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := openPool(conn, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	if err := p.Refresh(0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, VolumeName("old"))); err != nil {
		t.Fatal(err)
	}
	if info, err := Lookup(conn, pool, "web"); err != nil || !info.Complete || info.Format != "qcow2" {
		t.Errorf("look up of another one: %+v, %v", info, err)
	}
	if _, err := Lookup(conn, pool, "db"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "there are: old, web") {
		t.Errorf("look up of one that is not there: %v", err)
	}
	gone := "its file " + filepath.Join(dir, VolumeName("old")) + " is gone"
	if _, err := Lookup(conn, pool, "old"); !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), gone) ||
		!strings.Contains(err.Error(), "virsh -c qemu:///system pool-refresh "+pool) {
		t.Errorf("look up of the one whose file is gone: %v", err)
	}
	infos, err := List(conn, pool)
	if err != nil || len(infos) != 2 || infos[0].Name != "old" || infos[0].Broken == nil || infos[0].Broken.Error() != gone ||
		infos[1].Name != "web" || infos[1].Broken != nil {
		t.Errorf("list: %+v, %v", infos, err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, VolumeName("old")), 0o600); err != nil {
		t.Fatal(err)
	}
	if infos, err := List(conn, pool); err != nil || len(infos) != 2 || infos[0].Broken == nil || !strings.Contains(infos[0].Broken.Error(), "FIFO") {
		t.Errorf("list with a FIFO in its place: %+v, %v", infos, err)
	}
	if err := os.Remove(filepath.Join(dir, VolumeName("old"))); err != nil {
		t.Fatal(err)
	}
	if err := Upload(t.Context(), conn, Target{Pool: pool, Name: "old"}, image, nil); err != nil {
		t.Errorf("import again: %v", err)
	}
	if info, err := Lookup(conn, pool, "old"); err != nil || !info.Complete {
		t.Errorf("after the import: %+v, %v", info, err)
	}
}

// A template of the same name can be deleted and imported again while VMs run from the old one: theirs stays open, and no lock is in
// the way of the new one.
func TestTemplateIsReplacedWhileInUse(t *testing.T) {
	conn := connect(t)
	pool, dir := makePool(t, conn)
	to := Target{Pool: pool, Name: "web"}
	start := func(vm string) *libvirt.Domain {
		t.Helper()
		overlay := filepath.Join(dir, vm+".qcow2")
		img(t, "create", "-q", "-f", "qcow2", "-b", filepath.Join(dir, VolumeName("web")), "-F", "qcow2", overlay)
		dom, err := conn.DomainCreateXML(fmt.Sprintf(cloneXML, pool+"-"+vm, "q35", overlay), libvirt.DOMAIN_START_PAUSED)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := dom.Destroy(); err != nil {
				t.Errorf("destroy %s: %v", vm, err)
			}
			dom.Free()
		})
		return dom
	}
	if err := Upload(t.Context(), conn, to, sampleImage(t), nil); err != nil {
		t.Fatal(err)
	}
	old := start("old")
	p, err := openPool(conn, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	if err := deleteByName(p, VolumeName("web")); err != nil {
		t.Fatal(err)
	}
	if err := Upload(t.Context(), conn, to, sampleImage(t), nil); err != nil {
		t.Fatalf("import it again: %v", err)
	}
	start("new")
	if state, _, err := old.GetState(); err != nil || state != libvirt.DOMAIN_PAUSED {
		t.Errorf("the VM from the old one is in state %d, %v; want it as it was", state, err)
	}
}

// packageCache keeps downloads between test runs, as a developer's build would.
func packageCache(t *testing.T) string {
	t.Helper()
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "vmscaler", "packages")
}

func buildImage(t *testing.T, kernel string) string {
	t.Helper()
	const maxSize = 30 * mib
	work, out := t.TempDir(), filepath.Join(t.TempDir(), kernel+".qcow2")
	start := time.Now()
	path, err := Build(t.Context(), BuildConfig{
		Output: out, Kernel: kernel, CacheDir: packageCache(t), TempDir: work,
		Progress: func(step string) { t.Logf("%5.1f s  %s", time.Since(start).Seconds(), step) },
	})
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%5.1f s  done, %d bytes", time.Since(start).Seconds(), st.Size())
	if st.Size() > maxSize {
		t.Errorf("image has %d bytes, at most %d are wanted", st.Size(), maxSize)
	}
	assertEmpty(t, work)
	return path
}

// sampleImage is a valid qcow2 file of a few chunks that cannot be compressed
// away, without a system in it.
func sampleImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	raw, image := filepath.Join(dir, "raw"), filepath.Join(dir, "image.qcow2")
	content := make([]byte, 8*mib)
	for i := range content {
		content[i] = byte(i*i>>7) | 1
	}
	copy(content, at(510, "\x55\xaa", 0, "\xeb")[:512])
	if err := os.WriteFile(raw, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), nil, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image); err != nil {
		t.Fatal(err)
	}
	return image
}

func connect(t *testing.T) *libvirt.Connect {
	t.Helper()
	conn, err := libvirt.NewConnect("qemu:///system")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// makePool makes a storage pool for this test in a folder that libvirt's QEMU
// may enter, which t.TempDir's is not.
func makePool(t *testing.T, conn *libvirt.Connect) (name, dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vmscaler-pool-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name = filepath.Base(dir)
	p, err := conn.StoragePoolCreateXML(fmt.Sprintf("<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>", name, dir), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Destroy(); err != nil { // a transient pool is gone with that
			t.Errorf("destroy pool: %v", err)
		}
		p.Free()
	})
	return name, dir
}

func assertFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("pool has %q, want %q", got, want)
	}
}

// bootClone starts a machine on an overlay of the template.
func bootClone(t *testing.T, conn *libvirt.Connect, info Info, machine string) {
	t.Helper()
	name := "tmpl-trial-" + filepath.Base(filepath.Dir(info.Path)) + "-" + info.Name
	overlay := filepath.Join(filepath.Dir(info.Path), name+".qcow2")
	if err := run(t.Context(), nil, "qemu-img", "create", "-q", "-f", "qcow2", "-b", info.Path, "-F", "qcow2", overlay); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(overlay) })
	start := time.Now()
	dom, err := conn.DomainCreateXML(fmt.Sprintf(cloneXML, name, machine, overlay), libvirt.DOMAIN_NONE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if active, err := dom.IsActive(); err == nil && active {
			if err := dom.Destroy(); err != nil {
				t.Errorf("destroy %s: %v", name, err)
			}
		}
		dom.Free()
	})
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for time.Since(start) < bootLimit {
		if _, err = dom.QemuAgentCommand(`{"execute":"guest-ping"}`, agentLimit, 0); err == nil {
			break
		}
		<-tick.C
	}
	if err != nil {
		t.Fatalf("no agent answered in %s: %v", bootLimit, err)
	}
	t.Logf("%s on %s: agent after %.1f s", info.Name, machine, time.Since(start).Seconds())

	answer, err := dom.QemuAgentCommand(`{"execute":"guest-get-host-name"}`, agentLimit, 0)
	if err != nil {
		t.Fatal(err)
	}
	var host struct {
		Return struct {
			Name string `json:"host-name"`
		} `json:"return"`
	}
	if err := json.Unmarshal([]byte(answer), &host); err != nil || host.Return.Name != "trial-1" {
		t.Errorf("host name in %s, %v; want trial-1", answer, err)
	}
	if err := dom.ShutdownFlags(libvirt.DOMAIN_SHUTDOWN_ACPI_POWER_BTN); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < bootLimit; <-tick.C {
		if active, err := dom.IsActive(); err != nil || !active {
			t.Logf("off %.1f s after the power button", time.Since(start).Seconds())
			return
		}
	}
	t.Errorf("the power button did not turn the machine off in %s", bootLimit)
}

const cloneXML = `<domain type='qemu'>
  <name>%s</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <sysinfo type='smbios'><system><entry name='serial'>ds=nocloud;h=trial-1;i=iid-1</entry></system></sysinfo>
  <os><type arch='x86_64' machine='%s'>hvm</type><smbios mode='sysinfo'/></os>
  <features><acpi/><apic/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='%s'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><model type='virtio'/></interface>
    <serial type='pty'/><console type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='virtio'/>
  </devices>
</domain>`
