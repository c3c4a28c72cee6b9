package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"
)

// guestPrints runs a line of shell in a guest by its agent, and returns what it prints.
func (w *world) guestPrints(vm, line string) string {
	w.t.Helper()
	var run struct {
		Return struct {
			PID int `json:"pid"`
		} `json:"return"`
	}
	w.askAgent(vm, fmt.Sprintf(
		`{"execute": "guest-exec", "arguments": {"path": "/bin/sh", "arg": ["-c", %q], "capture-output": true}}`, line), &run)
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for { // its answer says only that the command was started
		var status struct {
			Return struct {
				Exited   bool   `json:"exited"`
				ExitCode int    `json:"exitcode"`
				Out      string `json:"out-data"`
				Err      string `json:"err-data"`
			} `json:"return"`
		}
		w.askAgent(vm, fmt.Sprintf(`{"execute": "guest-exec-status", "arguments": {"pid": %d}}`, run.Return.PID), &status)
		if !status.Return.Exited {
			<-poll.C
			continue
		}
		out, errOut := base64.StdEncoding.DecodeString(status.Return.Out)
		problem, errErr := base64.StdEncoding.DecodeString(status.Return.Err)
		if err := errors.Join(errOut, errErr); err != nil || status.Return.ExitCode != 0 {
			w.t.Fatalf("%q in %s: exit code %d, %s%s (%v)", line, vm, status.Return.ExitCode, out, problem, err)
		}
		return string(out)
	}
}

// withoutNetwork is config for a group with NICs.
func (w *world) withoutNetwork(group string) string {
	w.t.Helper()
	path := w.config(group)
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "    network: "+w.network+"\n", "", 1)), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// TestSeedInTheGuest: each guest finds its own seed, larger disk and further disk, and they are gone with it, also if a person
// undefines it.
func TestSeedInTheGuest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config(`min: 2
tags: [prod, team=web]
disk: 1GiB
disks: [{size: 8MiB}]
cloud_init:
  ssh_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPqXr0Jm2wq0gqhZJ7o0Fh4bJ6qv1cYjv1Cj7yFqk0a ann]
  user_data: |
    #cloud-config
    hostname: {{.Name}}
    # {{.Index}} of {{.Group}} from {{.Template}}`)
	p := w.start(config)
	p.untilReady(2)
	vms := w.vms()
	var metas []string
	for _, one := range vms {
		w.guestPrints(one.Name, "mkdir -p /run/seed && mount -t iso9660 -o ro /dev/vdc /run/seed")
		user := w.guestPrints(one.Name, "cat /run/seed/user-data")
		index := one.Name[strings.LastIndex(one.Name, "-")+1:]
		want := fmt.Sprintf("#cloud-config\nhostname: %s\n# %s of %s from demo", one.Name, index, w.group)
		if !strings.HasPrefix(user, want) {
			t.Errorf("%s reads %q, want %q", one.Name, user, want)
		}
		meta := w.guestPrints(one.Name, "cat /run/seed/meta-data")
		if !containsAll(meta, `instance-id: "`+one.UUID+`"`, `local-hostname: "`+one.Name+`"`, "ssh-ed25519 AAAA",
			"tags:\n  - \"prod\"\n  - \"team=web\"\n") {
			t.Errorf("%s reads %s", one.Name, meta)
		}
		metas = append(metas, meta)
		told := w.guestPrints(one.Name, `tr '\000' '\n' </sys/firmware/dmi/tables/DMI | grep -o 'vmscaler:.*'`)
		const tags = "vmscaler:tag=prod\nvmscaler:tag=team=web\n"
		if told != fmt.Sprintf("vmscaler:name=%s\nvmscaler:group=%s\n%s", one.Name, w.group, tags) {
			t.Errorf("%s finds %q in its SMBIOS", one.Name, told)
		}
		sizes := w.guestPrints(one.Name, "cat /sys/block/vda/size /sys/block/vdb/size /sys/block/vdc/ro")
		if sizes != "2097152\n16384\n1\n" {
			t.Errorf("%s has disks of %q sectors", one.Name, sizes)
		}
	}
	if metas[0] == metas[1] {
		t.Errorf("two VMs are one instance: %s", metas[0])
	}
	for _, volume := range vms[0].Meta.Volumes() {
		info, err := os.Stat(filepath.Join(w.dir, volume))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, want it closed to others (%v)", volume, info, err)
		}
	}
	p.stop()
	dom := w.domain(vms[0].Name)
	if err := errors.Join(dom.Undefine(), dom.Destroy()); err != nil {
		t.Fatal(err)
	}
	if out := w.must("sweep", "-c", config, "--yes", "--grace", "0s"); strings.Count(out, "deleted ") != 3 {
		t.Errorf("sweep says\n%s\nwant its three volumes deleted", out)
	}
}

// TestForwardedPorts: each VM's service is reached at a port of its own on loopback.
func TestForwardedPorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, digits, _ := strings.Cut(freeAddress(t), ":")
	port, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	p := w.start(w.withoutNetwork(fmt.Sprintf("min: 1\nnics: [{type: user, forwards: [{host_port: %d, guest_port: 80}]}]", port)))
	p.untilReady(1)
	name := w.vms()[0].Name
	index := 0
	if _, err := fmt.Sscanf(name[strings.LastIndex(name, "-"):], "-%d", &index); err != nil {
		t.Fatal(err)
	}
	w.guestPrints(name, "mkdir -p /run/www && echo from $(hostname) >/run/www/index.html && busybox httpd -p 80 -h /run/www")
	url := fmt.Sprintf("http://127.0.0.1:%d/", port+index-1)
	p.until("the guest's service answers", func() bool {
		answer, err := http.Get(url)
		if err != nil {
			return false
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		return err == nil && string(body) == "from "+name+"\n"
	})
	p.stop()
}

// TestHardware: what a group asks for is in the definition as libvirt has it, and a VM starts with it. The demo template boots by
// BIOS alone, so with UEFI only the firmware runs.
func TestHardware(t *testing.T) {
	t.Parallel()
	if strings.Contains(os.Getenv("LIBVIRT_DEFAULT_URI"), "/session") {
		t.Skip("a session has no network for the first NIC")
	}
	w := newWorld(t)
	config := w.withoutNetwork(fmt.Sprintf(`min: 1
ready_when: uptime
ready_after: 2s
shutdown_timeout: 0s
nics: [{source: %s}, {type: user}]
machine: q35
firmware: uefi
watchdog: poweroff
panic: true
pinning: "0"
tags: [e2e]
domain_xml: |
  <domain>
    <clock offset="localtime"/>
    <devices><input type="tablet" bus="virtio"/></devices>
  </domain>`, w.network))
	p := w.start(config)
	p.untilReady(1)
	one := w.vms()[0]
	text, err := w.domain(one.Name).GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"pc-q35", "firmware='efi'", "<watchdog model='i6300esb' action='poweroff'", "<panic model='isa'", "cpuset='0'",
		"<description>e2e</description>",
		"<clock offset='localtime'", "<input type='tablet' bus='virtio'", "<interface type='network'", "<interface type='user'",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the definition has no %s:\n%s", part, text)
		}
	}
	live, err := w.domain(one.Name).GetXMLDesc(0)
	if err != nil {
		t.Fatal(err)
	}
	nvram := regexp.MustCompile(`<nvram[^>]*>([^<]+)</nvram>`).FindStringSubmatch(live)
	if nvram == nil {
		t.Fatalf("a VM with UEFI has no variables:\n%s", live)
	}
	p.stop()
	w.must("down", w.group, "--yes", "--shutdown-timeout", "1s")
	if _, err := os.Stat(nvram[1]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %s (%v)", nvram[1], err)
	}
	w.refused([]string{"config", "check", "-c", w.withoutNetwork("machine: pc-none-1.0")}, "machine: found", "pc-none-1.0")
}

// askAgent has a guest's agent do something, and decodes its answer.
func (w *world) askAgent(vm, command string, answer any) {
	w.t.Helper()
	text, err := w.domain(vm).QemuAgentCommand(command, libvirt.DOMAIN_QEMU_AGENT_COMMAND_DEFAULT, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), answer); err != nil {
		w.t.Fatalf("%s answers %q: %s", vm, text, err)
	}
}
