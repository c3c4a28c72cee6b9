package trial

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// goodClone is one of which all is well.
func goodClone(n int, changes ...func(*Facts)) Facts {
	name := fmt.Sprintf("t-%d", n)
	f := Facts{
		Name: name, Ready: "its guest agent answers", BootTime: 6 * time.Second, Agent: true, Console: 100,
		Address: fmt.Sprintf("10.0.0.%d", n), Idle: new(0.5), Off: new(2 * time.Second), Pressed: true,
		Guest: Guest{
			Asked: true, Host: name, MachineID: fmt.Sprint("id", n), Keys: []string{fmt.Sprint("rsa ", n), fmt.Sprint("ed25519 ", n)},
			Cloud: "done", Firmware: "bios",
		},
	}
	for _, change := range changes {
		change(&f)
	}
	return f
}

func TestJudge(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Facts)
		want   []string // the lines that are not ok, as "what level"
		says   string
	}{
		"all is well": {func(*Facts) {}, nil, "each has its VM's name"},
		"nothing is heard": {
			func(f *Facts) { *f = Facts{Name: f.Name, NotReady: "no agent"} },
			[]string{
				"boots fail", "console warn", "agent warn", "boot time unknown", "idle CPU unknown", "address warn", "shutdown unknown",
				"host name unknown", "machine id unknown", "SSH keys unknown", "login keys unknown", "cloud-init unknown",
			},
			"no agent; nothing was heard of it",
		},
		"no agent, but a console": {
			func(f *Facts) {
				*f = Facts{Name: f.Name, NotReady: "no agent", Console: 9, Address: f.Address, Pressed: true, Off: f.Off}
			},
			[]string{
				"boots warn", "agent warn", "boot time unknown", "idle CPU unknown", "host name unknown", "machine id unknown",
				"SSH keys unknown", "login keys unknown", "cloud-init unknown",
			},
			"no agent",
		},
		"no console":            {func(f *Facts) { f.Console = 0 }, []string{"console warn"}, "ttyS0"},
		"boots slowly":          {func(f *Facts) { f.BootTime = 61 * time.Second }, []string{"boot time warn"}, "raise boot_timeout"},
		"is busy":               {func(f *Facts) { f.Idle = new(10.0) }, []string{"idle CPU warn"}, "10.0 %"},
		"has no address":        {func(f *Facts) { f.Address = "" }, []string{"address warn"}, "none, none"},
		"has a fixed address":   {func(f *Facts) { f.Address = "10.0.0.9" }, []string{"address fail"}, "fixed one"},
		"does not shut down":    {func(f *Facts) { f.Off = nil }, []string{"shutdown fail"}, "within 20s"},
		"one host name":         {func(f *Facts) { f.Guest.Host = "debian" }, []string{"host name fail"}, "both have the same: debian"},
		"one machine id":        {func(f *Facts) { f.Guest.MachineID = "abc" }, []string{"machine id fail"}, "truncate -s 0"},
		"no machine id":         {func(f *Facts) { f.Guest.MachineID = "" }, []string{"machine id unknown"}, "does not say"},
		"one key":               {func(f *Facts) { f.Guest.Keys = []string{"rsa 1"} }, []string{"SSH keys fail"}, "SSH host key: rsa"},
		"no keys":               {func(f *Facts) { f.Guest.Keys = nil }, nil, "there are no SSH host keys"},
		"no cloud-init":         {func(f *Facts) { f.Guest.Cloud = "none" }, nil, "it is not there"},
		"cloud-init has failed": {func(f *Facts) { f.Guest.Cloud = "error" }, []string{"cloud-init warn"}, "its status is error"},
		"a login key": {
			func(f *Facts) {
				f.Guest.Logins = []Login{{"/root/.ssh/authorized_keys", "ssh-rsa A"}, {"/root/.ssh/authorized_keys", "ssh-rsa B"}}
			},
			[]string{"login keys warn"},
			"/root/.ssh/authorized_keys (2)",
		},
		"an agent that does less": {
			func(f *Facts) { f.Guest = Guest{Unasked: vm.ErrGuestHidden.Error()} },
			[]string{"host name unknown", "machine id unknown", "SSH keys unknown", "login keys unknown", "cloud-init unknown"},
			"may run nothing",
		},
		"a guest that takes its time": {
			func(f *Facts) { f.Guest = Guest{Unasked: "the guest took longer than 30s"} },
			[]string{"host name unknown", "machine id unknown", "SSH keys unknown", "login keys unknown", "cloud-init unknown"},
			"its guest agent answers, but the guest could not be asked: the guest took longer than 30s\n",
		},
	} {
		lines := Judge([]Facts{goodClone(1, tt.change), goodClone(2, tt.change)}, bus.DefaultGroup())
		var got []string
		failed, text := false, ""
		for _, l := range lines {
			if l.Level != OK {
				got = append(got, l.What+" "+string(l.Level))
			}
			failed = failed || l.Level == Fail
			text += l.Text + "\n" + l.Remedy + "\n"
			if (l.Level == Warn || l.Level == Fail) && l.Remedy == "" {
				t.Errorf("%s: %s has no remedy", name, l.What)
			}
		}
		if !slices.Equal(got, tt.want) || Failed(lines) != failed || !strings.Contains(text, tt.says) {
			t.Errorf("%s: got %q, want %q and %q in\n%s", name, got, tt.want, tt.says, text)
		}
	}
	user := bus.DefaultGroup()
	user.Network = bus.UserNetwork
	same := func(f *Facts) { f.Address = "10.0.2.15" }
	seeded := bus.DefaultGroup()
	seeded.CloudInit.SSHKeys = []bus.Text{{Text: "ssh-ed25519 AAAA ann"}}
	blob := strings.Repeat("A", 68)
	given := bus.DefaultGroup()
	given.CloudInit.SSHKeys = []bus.Text{{Text: "ssh-ed25519 " + blob + " ann"}}
	for key, level := range map[string]Level{blob: OK, strings.Repeat("B", 68): Warn} {
		carries := func(f *Facts) {
			f.Guest.Logins = []Login{{"/root/.ssh/authorized_keys", "no-pty ssh-ed25519 " + key + " x"}}
		}
		if got := (judge{[]Facts{goodClone(1, carries)}, given}).logins(); got.Level != level {
			t.Errorf("a group that gives the key %s...: %+v, want %s", blob[:4], got, level)
		}
	}
	none := func(f *Facts) { f.Guest.Cloud = "none" }
	lines := Judge([]Facts{goodClone(1, none), goodClone(2, none)}, seeded)
	last := lines[len(lines)-1]
	if last.Level != Warn || !strings.Contains(last.Text, "cloud_init has no effect") || last.Remedy == "" {
		t.Errorf("a group with a cloud_init and no cloud-init: %+v", last)
	}
	if lines := Judge([]Facts{goodClone(1, same), goodClone(2, same)}, user); Failed(lines) ||
		!slices.Contains(lines, Line{What: "address", Level: OK, Text: "10.0.2.15, each on a network of its own"}) {
		t.Errorf("one address on user networks: %+v", lines)
	}
}

func TestParseGuest(t *testing.T) {
	g := parseGuest("host web-1\nmachine 0a\nkey ssh-rsa AAA\nkey ed B\ncloud done\nfirmware uefi\nother x\n\n")
	if g.Host != "web-1" || g.MachineID != "0a" || !slices.Equal(g.Keys, []string{"ssh-rsa AAA", "ed B"}) || g.Cloud != "done" ||
		g.Firmware != "uefi" || !g.Asked {
		t.Errorf("got %+v", g)
	}
	if g := parseGuest(strings.Repeat("key a b\n", 1000)); len(g.Keys) != mostKeys {
		t.Errorf("%d keys", len(g.Keys))
	}
}
