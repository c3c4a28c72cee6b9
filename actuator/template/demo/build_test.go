package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
	"github.com/vmscaler/vmscaler/actuator/template/internal/pooltest"
)

const (
	bootLimit  = 90 * time.Second
	agentLimit = 5 // seconds
)

// TestBuildBootsToAgent builds a guest of each kernel, uploads it, and boots a
// clone until its agent answers and tells who it is.
func TestBuildBootsToAgent(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	for _, tt := range []struct{ kernel, machine string }{{KernelCloud, "q35"}, {KernelGeneric, "pc"}} {
		t.Run(tt.kernel, func(t *testing.T) {
			file := buildImage(t, tt.kernel)
			if err := template.Upload(t.Context(), conn, template.Target{Pool: pool, Name: tt.kernel}, file, nil); err != nil {
				t.Fatal(err)
			}
			info, err := template.Lookup(conn, pool, tt.kernel)
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
			_, err := Build(ctx, Config{
				Output: filepath.Join(out, "t.qcow2"), TempDir: work, CacheDir: packageCache(t),
				Progress: func(step string) {
					if strings.HasPrefix(step, stage) {
						if stage == "compressing" { // which may not take so long
							cancel()
						}
						time.AfterFunc(300*time.Millisecond, cancel) // in the middle of the tool's work
					}
				},
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want context canceled", err)
			}
			pooltest.AssertEmpty(t, work)
			pooltest.AssertEmpty(t, out)
		})
	}
}

func TestBuildRefusesExistingOutput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.qcow2")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), Config{Output: file}); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v, want file exists", err)
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
	path, err := Build(t.Context(), Config{
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
	pooltest.AssertEmpty(t, work)
	return path
}

// bootClone starts a machine on an overlay of the template.
func bootClone(t *testing.T, conn *libvirt.Connect, info template.Info, machine string) {
	t.Helper()
	overlay := filepath.Join(filepath.Dir(info.Path), info.Name+"-clone.qcow2")
	if err := hosttool.Run(t.Context(), nil, "qemu-img", "create", "-q", "-f", "qcow2", "-b", info.Path, "-F", "qcow2",
		overlay); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(overlay) })
	dom := bootDisk(t, conn, overlay, machine)
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
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < bootLimit; <-tick.C {
		if active, err := dom.IsActive(); err != nil || !active {
			t.Logf("off %.1f s after the power button", time.Since(start).Seconds())
			return
		}
	}
	t.Errorf("the power button did not turn the machine off in %s", bootLimit)
}

// bootDisk starts a machine on a disk and waits for its agent.
func bootDisk(t *testing.T, conn *libvirt.Connect, disk, machine string) *libvirt.Domain {
	t.Helper()
	name := "tmpl-trial-" + filepath.Base(filepath.Dir(disk)) + "-" + strings.TrimSuffix(filepath.Base(disk), ".qcow2")
	start := time.Now()
	dom, err := conn.DomainCreateXML(fmt.Sprintf(pooltest.CloneXML, name, machine, disk), libvirt.DOMAIN_NONE)
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
			t.Logf("%s on %s: agent after %.1f s", name, machine, time.Since(start).Seconds())
			return dom
		}
		<-tick.C
	}
	t.Fatalf("no agent answered in %s: %v", bootLimit, err)
	return nil
}
