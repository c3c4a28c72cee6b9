package demo

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
	"github.com/vmscaler/vmscaler/actuator/template/internal/pooltest"
)

// TestBuildDoubtsTheCounter: on a busy host a guest's kernel has measured its CPU's counter to be nine times slower than it was,
// and each time-out took a ninth of its time. The template's guest notices that.
func TestBuildDoubtsTheCounter(t *testing.T) {
	conn := pooltest.Connect(t)
	_, dir := pooltest.MakePool(t, conn)
	work := t.TempDir()
	raw, config, disk := filepath.Join(work, "raw"), filepath.Join(work, "syslinux.cfg"), filepath.Join(dir, "clock.qcow2")
	run := func(name string, args ...string) {
		t.Helper()
		if err := hosttool.Run(t.Context(), nil, name, args...); err != nil {
			t.Fatal(err)
		}
	}
	run("qemu-img", "convert", "-O", "raw", buildImage(t, KernelCloud), raw)
	text, err := guestFile("syslinux.cfg")
	if err != nil {
		t.Fatal(err)
	}
	// As many kHz as the kernel is to believe.
	wrong := strings.Replace(string(text), "APPEND ", "APPEND tsc_early_khz=286000 ", 1)
	if err := os.WriteFile(config, []byte(wrong), 0o644); err != nil {
		t.Fatal(err)
	}
	run("mcopy", "-o", "-i", raw+"@@1M", config, "::/syslinux.cfg")
	run("qemu-img", "convert", "-O", "qcow2", raw, disk)

	dom := bootDisk(t, conn, disk, "pc")
	told := guestRead(t, dom, "/proc/cmdline")
	if !strings.Contains(told, "tsc_early_khz=") {
		t.Fatalf("the kernel was started with %q", told)
	}
	source := guestRead(t, dom, "/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if strings.HasPrefix(source, "tsc") {
		t.Errorf("the guest's clock goes by %s, with %s", source, told)
	}
}

// guestRead is what a file of the guest holds.
func guestRead(t *testing.T, dom *libvirt.Domain, path string) string {
	t.Helper()
	call := func(request string, answer any) {
		t.Helper()
		reply, err := dom.QemuAgentCommand(request, agentLimit, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(reply), &struct{ Return any }{answer}); err != nil {
			t.Fatalf("%s: %v", reply, err)
		}
	}
	var run struct{ PID json.Number }
	call(`{"execute":"guest-exec","arguments":{"path":"/bin/cat","arg":["`+path+`"],"capture-output":true}}`, &run)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < bootLimit; <-tick.C {
		var status struct {
			Exited bool
			Out    string `json:"out-data"`
		}
		call(`{"execute":"guest-exec-status","arguments":{"pid":`+run.PID.String()+`}}`, &status)
		if status.Exited {
			out, err := base64.StdEncoding.DecodeString(status.Out)
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(out))
		}
	}
	t.Fatalf("cat %s did not end in %s", path, bootLimit)
	return ""
}
