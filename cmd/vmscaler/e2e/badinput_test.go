package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"libvirt.org/go/libvirt"
)

// TestConfigIsRefusedBeforeAnythingStarts: all problems at once, each with its line, what was found and what is
// allowed.
func TestConfigIsRefusedBeforeAnythingStarts(t *testing.T) {
	w := newWorld(t)
	config := w.config("min: 3\nmax: 2\nmemmory: 256MiB\npolicy:\n  upper: 20\n  lower: 70")
	for _, command := range []string{"run", "config check"} {
		args := append(strings.Fields(command), "-c", config)
		out := w.refused(args, config+":9:", "min", config+":11:", `memmory`, `memory`, config+":14:", "lower")
		if n := strings.Count(out, config); n < 3 {
			t.Errorf("%s reports %d problems, want all three:\n%s", command, n, out)
		}
	}
}

// TestFileAndHostAreCheckedTogether: what is wrong in the file and what the host lacks for the rest of it come in
// one answer, in the file's order, and nothing is checked against a default that stands in for a wrong value.
func TestFileAndHostAreCheckedTogether(t *testing.T) {
	w := newWorld(t)
	was := w.network
	w.network = "nonet"
	config := w.config("template: [demo]\nmin: 3\nmax: 2")
	w.network = was
	for _, command := range []string{"run", "config check"} {
		out := w.refused(
			append(strings.Fields(command), "-c", config),
			config+":8:",
			"nonet",
			config+":9:",
			"template",
			config+":10:",
			"min",
		)
		if n := strings.Count(out, config); n != 3 {
			t.Errorf("%s reports %d problems, want three:\n%s", command, n, out)
		}
	}
}

// TestHostIsCheckedBeforeAnythingStarts: what the config names and the host does not have is refused with the
// file's line, and nothing is made.
func TestHostIsCheckedBeforeAnythingStarts(t *testing.T) {
	w := newWorld(t)
	name := w.group + "-off"
	net, err := w.conn.NetworkDefineXML(fmt.Sprintf(`<network><name>%s</name><bridge name='e2eoff'/></network>`, name))
	if err != nil && !errors.Is(err, libvirt.ERR_NO_SUPPORT) {
		t.Fatal(err)
	}
	if err == nil {
		t.Cleanup(func() {
			_ = net.Undefine()
			_ = net.Free()
		})
	}
	for _, c := range []struct {
		name, group string
		words       []string
	}{
		{"template that no import makes", "template: NotHere", []string{":9:", "NotHere", "vmscaler template import NAME FILE"}},
		{"template", "template: nothere", []string{":9:", "nothere", "demo", "vmscaler template import"}},
		{"network", "", []string{":8:", "nonet", "does not exist", `"user"`}},
		{"inactive network", "", []string{":8:", "not active", "virsh -c " + w.uri + " net-start"}},
		{"pool", "", []string{":2:", "nopool", "vmscaler setup"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			was := *w
			switch c.name {
			case "network":
				w.network = "nonet"
			case "inactive network":
				w.network = name
			case "pool":
				w.pool = "nopool"
			}
			config := w.config(c.group)
			w.network, w.pool = was.network, was.pool
			w.refused([]string{"run", "--no-dashboard", "-c", config}, c.words...)
			if vms := w.vms(); len(vms) > 0 {
				t.Errorf("VMs were made: %+v", vms)
			}
		})
	}
}

// TestTemplateIsCheckedAtImport: what is no bootable qcow2 or raw image is refused with the remedy.
func TestTemplateIsCheckedAtImport(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	for name, c := range map[string]struct{ content, word string }{
		"text.qcow2": {"this is no disk image", "bootable"},
		"vm.vmdk":    {"KDMV" + strings.Repeat("\x00", 2048), "qemu-img convert"},
		"empty.img":  {"", "empty.img"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		w.refused([]string{"template", "import", "own", path, "-c", w.config("")}, path, c.word)
	}
	w.refused([]string{"template", "import", "own", filepath.Join(dir, "absent"), "-c", w.config("")}, "absent")
	w.refused([]string{"template", "import", "Own_1", filepath.Join(dir, "absent"), "-c", w.config("")}, "Own_1")
}

// TestBusPortTaken: the error names the option for another port and the one for joining that server.
func TestBusPortTaken(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	address := l.Addr().String()
	w.refused([]string{"run", "--no-dashboard", "-c", w.config(""), "--bus-listen", address},
		address, "already in use", "--bus-listen", "--nats-url nats://"+address)
	w.refused([]string{"run", "--no-dashboard", "-c", w.config(""), "--bus-listen", "0.0.0.0:4222"}, "0.0.0.0:4222", "loopback")
	if vms := w.vms(); len(vms) > 0 {
		t.Errorf("VMs were made: %+v", vms)
	}
}

// TestNoPermission: a user who may not use libvirt's socket learns which group to join, and the program does not
// wait for what waiting does not mend.
func TestNoPermission(t *testing.T) {
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	// The way there must be open for the other user, as only the last folder is to refuse.
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "run", "--no-dashboard", "--uri", "qemu+unix:///system?socket="+closed+"/libvirt-sock")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, word := range []string{"no permission", "usermod -aG libvirt", "--uri qemu:///session"} {
		if !strings.Contains(string(out), word) {
			t.Errorf("says\n%s\nwant it to name %q", out, word)
		}
	}
}

// TestWrongCommandLines: exit code 2 and what is allowed.
func TestWrongCommandLines(t *testing.T) {
	garbage := "VMSCALER_NATS_URL=garbage"
	for _, c := range []struct {
		args []string
		word string
		env  string
	}{
		{[]string{"nonsense"}, "nonsense", ""},
		{[]string{"run", "--nonsense"}, "--nonsense", ""},
		{[]string{"run", "extra"}, "extra", ""},
		{[]string{"down"}, "GROUP", ""},
		{[]string{"load", "x", "--cpu", "-1"}, "--cpu", ""},
		{[]string{"load", "x", "--for", "0s"}, "--for", ""},
		{[]string{"run", "--log-level", "loud"}, "loud", ""},
		{
			[]string{"run", "--bus-listen", "127.0.0.1:1", "--nats-url", "nats://x"},
			"--bus-listen and --nats-url exclude each other",
			"",
		},
		{[]string{"run", "--stages", "nonsense"}, `"nonsense", want some of bus, collector, decider, actuator, dashboard`, ""},
		{[]string{"run", "--stages", "bus,decider", "--nats-url", "nats://x"}, "bus together with the bus nats://x", ""},
		{[]string{"bus"}, "bus.url (nats://x) names a server to join", "VMSCALER_NATS_URL=nats://x"},
		{[]string{"run", "--bus-listen", "0.0.0.0:4222"}, "--bus-listen: found 0.0.0.0:4222, want a loopback HOST:PORT", ""},
		{[]string{"bus", "--bus-listen", "0.0.0.0:4222"}, "whoever reaches the bus can watch it", ""},
		{[]string{"run", "--nats-cert", "x.pem"}, "--nats-cert", ""},
		{[]string{"decider"}, "VMSCALER_NATS_URL: found garbage, want nats://HOST:PORT", garbage},
		{[]string{"dashboard"}, "VMSCALER_NATS_URL: found garbage", garbage},
		{[]string{"config", "show"}, "VMSCALER_NATS_URL: found garbage", garbage},
		{[]string{"config", "check", "--nats-url", "garbage"}, "--nats-url: found garbage", ""},
		{[]string{"events", "--since", "0s"}, "--since", ""},
		{[]string{"events", "-o", "xml"}, "--output", ""},
		{[]string{"events", "Web_1"}, "Web_1", ""},
		{[]string{"events", "a", "b"}, "[GROUP]", ""},
		{[]string{"health", "nonsense"}, "bus, collector, decider, actuator", ""},
		{[]string{"bus", "credentials"}, "ROLE", ""},
	} {
		cmd := exec.Command(program, c.args...)
		cmd.Env = append(os.Environ(), c.env)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), c.word) {
			t.Errorf("%s vmscaler %v: %v, want exit code 2 and %q named:\n%s", c.env, c.args, err, c.word, out)
		}
	}
}
