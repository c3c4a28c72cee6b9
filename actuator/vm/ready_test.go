package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func TestBootViewReady(t *testing.T) {
	const s = time.Second
	view := func(change func(*bootView)) bootView {
		v := bootView{Elapsed: 20 * s, Timeout: 2 * time.Minute, Answered: s}
		change(&v)
		return v
	}
	for _, tt := range []struct {
		name  string
		v     bootView
		ready bool
		why   string // a part of it
	}{
		{"no agent", view(func(v *bootView) { v.Silent = "not connected" }), false, "not connected"},
		{"no agent, and quiet", view(func(v *bootView) { v.Silent, v.Quiet = "not connected", time.Minute }), false, "not connected"},
		{"not asked yet", view(func(*bootView) {}), false, "has not said yet"},
		{"a guest with nothing to wait for", view(func(v *bootView) { v.System = systemBare }), true, "agent answers"},
		{"systemd has jobs left", view(func(v *bootView) { v.System = systemStarting }), false, "still starting"},
		{
			"systemd has jobs left, at rest", view(func(v *bootView) { v.System, v.Quiet = systemStarting, time.Minute }), false,
			"still starting",
		},
		{"cloud-init runs", view(func(v *bootView) { v.System = systemSeeding }), false, "cloud-init"},
		{"up", view(func(v *bootView) { v.System = systemUp }), true, "its system is up"},
		{"up, and busy", view(func(v *bootView) { v.System, v.CPU = systemUp, new(100.0) }), true, "its system is up"},
		{
			"a unit that never ends", view(func(v *bootView) { v.System, v.Elapsed = systemStarting, 2*time.Minute }), true,
			"in vain for 2m",
		},
		{"cloud-init that never ends", view(func(v *bootView) { v.System, v.Elapsed = systemSeeding, 2*time.Minute }), true, "in vain"},
		{"a question that is never answered", view(func(v *bootView) { v.Elapsed = 2 * time.Minute }), true, "cannot say"},
		{"emergency mode, forever", view(func(v *bootView) { v.System, v.Elapsed = systemBroken, time.Hour }), false, "emergency"},

		{"guest-exec is off", view(func(v *bootView) { v.System = systemHidden }), false, "CPU has not come to rest"},
		{
			"guest-exec is off, a short rest", view(func(v *bootView) { v.System, v.Quiet = systemHidden, 4*s }), false,
			"CPU has not come to rest",
		},
		{"guest-exec is off, at rest", view(func(v *bootView) { v.System, v.Quiet = systemHidden, 5*s }), true, "come to rest"},
		{
			"guest-exec is off, at work for half a minute",
			view(func(v *bootView) { v.System, v.Elapsed, v.Answered = systemHidden, 40*s, 30*s }), true, "does not come to rest",
		},
		{
			"guest-exec is off, a slow boot, at work for half a minute",
			view(func(v *bootView) { v.System, v.Elapsed, v.Answered = systemHidden, 90*s, 30*s }), false, "CPU has not come to rest",
		},
		{
			"guest-exec is off, a slow boot, at work for as long",
			view(func(v *bootView) { v.System, v.Elapsed, v.Answered = systemHidden, 90*s, 45*s }), true, "does not come to rest",
		},
		{
			"guest-exec is off, the boot time-out is over",
			view(func(v *bootView) { v.System, v.Elapsed, v.Answered = systemHidden, 2*time.Minute, 10*s }), true,
			"does not come to rest",
		},

		{
			"no address yet", view(func(v *bootView) { v.System, v.Network = systemUp, "default" }), false,
			"no address on network default",
		},
		{
			"no address, the boot time-out is over",
			view(func(v *bootView) { v.System, v.Network, v.Elapsed = systemUp, "default", time.Hour }), false, "no address",
		},
		{"an address", view(func(v *bootView) { v.System, v.Network, v.Addressed = systemUp, "default", true }), true, "up"},
		{
			"an address, not up", view(func(v *bootView) { v.System, v.Network, v.Addressed = systemStarting, "default", true }), false,
			"starting",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if ready, why := tt.v.ready(); ready != tt.ready || !strings.Contains(why, tt.why) {
				t.Errorf("ready %v, %q; want %v, %q", ready, why, tt.ready, tt.why)
			}
		})
	}
}

// What is advised fits what was seen, and names a setting or a package.
func TestBootRemedy(t *testing.T) {
	group := func(when bus.ReadyWhen) bus.Group {
		return webSpec(func(g *bus.Group) { g.ReadyWhen, g.Network = when, "net" })
	}
	for _, tt := range []struct {
		name   string
		spec   bus.Group
		v      bootView
		leases bool
		want   []string
	}{
		{
			"no agent in the image", group(bus.ReadyAgent),
			bootView{Silent: "no", CPU: new(1.0)},
			true,
			[]string{"qemu-guest-agent", "ready_when: uptime"},
		},
		{
			"no agent, CPU unknown", group(bus.ReadyAgent),
			bootView{Silent: "no"},
			false,
			[]string{"qemu-guest-agent", "ready_when: uptime"},
		},
		{"still booting", group(bus.ReadyAgent), bootView{Silent: "no", CPU: new(98.0)}, true, []string{"98 %", "boot_timeout"}},
		{"no address", group(bus.ReadyAgent), bootView{Network: "net"}, true, []string{"DHCP", "virsh net-dhcp-leases net"}},
		{"emergency mode", group(bus.ReadyAgent), bootView{System: systemBroken}, false, []string{"console"}},
		{"no lease", group(bus.ReadyLease), bootView{CPU: new(1.0)}, true, []string{"DHCP", "ready_when: agent or uptime"}},
		{"no lease, still booting", group(bus.ReadyLease), bootView{CPU: new(99.0)}, true, []string{"boot_timeout"}},
		{
			"no lease can be seen", group(bus.ReadyLease),
			bootView{CPU: new(99.0)},
			false,
			[]string{"sees no leases on network net", "ready_when: agent or uptime"},
		},
		{"it just has to run", group(bus.ReadyUptime), bootView{}, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.v.remedy(tt.spec, "web-1", tt.leases)
			for _, part := range tt.want {
				if !strings.Contains(got, part) {
					t.Errorf("%q lacks %q", got, part)
				}
			}
			if tt.want == nil && got != "" {
				t.Errorf("%q, want none", got)
			}
		})
	}
}

// The script is run as a guest would, with a root of its own and a systemctl that says this or that.
func TestSystemScript(t *testing.T) {
	for _, tt := range []struct {
		name      string
		files     string // below /run; one that ends in / is a folder
		systemctl string // what it prints; it fails unless that is "running"
		want      system
	}{
		{"busybox", "", "", systemBare},
		{"cloud-init on OpenRC, begun", "cloud-init/status.json", "", systemSeeding},
		{"cloud-init on OpenRC, done", "cloud-init/status.json cloud-init/result.json", "", systemUp},
		{"cloud-init is off", "cloud-init/disabled", "", systemUp},
		{"systemd", "systemd/system/", "running", systemUp},
		{"systemd, a unit failed", "systemd/system/", "degraded", systemUp},
		{
			"systemd's word counts, and not cloud-init's", "systemd/system/ cloud-init/enabled cloud-init/status.json", "degraded",
			systemUp,
		},
		{"systemd starts", "systemd/system/ cloud-init/result.json", "starting", systemStarting},
		{"systemd begins", "systemd/system/", "initializing", systemStarting},
		{"systemd does not answer yet", "systemd/system/", "", systemStarting},
		{"emergency", "systemd/system/", "maintenance", systemBroken},
		{"on its way out", "systemd/system/", "stopping", systemBroken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, bin := t.TempDir(), t.TempDir()
			for name := range strings.FieldsSeq(tt.files) {
				path := filepath.Join(root, "run", name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(name, "/") {
					if err := os.MkdirAll(path, 0o755); err != nil {
						t.Fatal(err)
					}
				} else if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			stub := "#!/bin/sh\necho " + tt.systemctl + "\n[ '" + tt.systemctl + "' = running ]\n"
			if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte(stub), 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", strings.ReplaceAll(systemScript, "/run/", root+"/run/"))
			cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin"}
			output, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if got := parseSystem(string(output)); got != tt.want {
				t.Errorf("%q is %d, want %d", output, got, tt.want)
			}
		})
	}
	for _, odd := range []string{"", "systemd up", "bare\nbare", "\x1b[31m", strings.Repeat("running", 1e5)} {
		if got := parseSystem(odd); got != systemHidden {
			t.Errorf("%.20q is %d: a guest says what it likes", odd, got)
		}
	}
}

func TestLeasesSeen(t *testing.T) {
	const (
		dhcp = `<ip address='192.168.77.1' netmask='255.255.255.0'>
			<dhcp><range start='192.168.77.10' end='192.168.77.12'/></dhcp></ip>`
		reserved = `<ip address='192.168.77.1' netmask='255.255.255.0'>
			<dhcp><host mac='52:54:00:00:00:01' ip='192.168.77.9'/></dhcp></ip>`
	)
	for _, tt := range []struct {
		name, xml string
		want      bool
	}{
		{"NAT", `<network><name>n</name><forward mode='nat'/>` + dhcp + `</network>`, true},
		{"isolated", `<network><name>n</name>` + dhcp + `</network>`, true},
		{"routed", `<network><name>n</name><forward mode='route'/>` + dhcp + `</network>`, true},
		{"reserved addresses only", `<network><name>n</name>` + reserved + `</network>`, true},
		{
			"without DHCP", `<network><name>n</name><forward mode='nat'/><ip address='192.168.77.1' netmask='255.255.255.0'/></network>`,
			false,
		},
		{"a bridge of the host", `<network><name>n</name><forward mode='bridge'/><bridge name='br9'/></network>`, false},
		{"macvtap", `<network><name>n</name><forward mode='passthrough'><interface dev='eth0'/></forward></network>`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := leasesSeen(tt.xml); err != nil || got != tt.want {
				t.Errorf("%v, %v; want %v", got, err, tt.want)
			}
		})
	}
	if _, err := leasesSeen("<network"); err == nil {
		t.Error("half a definition is read")
	}
}

func TestRestMeter(t *testing.T) {
	var m restMeter
	type step struct{ at, used, quiet time.Duration }
	for _, s := range []step{
		{0, 0, 0},
		{250 * time.Millisecond, 250 * time.Millisecond, 0},
		{time.Second, time.Second, 0},                          // 100 %
		{2 * time.Second, 1200 * time.Millisecond, 0},          // 20 %: from here on
		{2500 * time.Millisecond, 1200 * time.Millisecond, -1}, // no window
		{4 * time.Second, 1300 * time.Millisecond, 2 * time.Second},
		{5 * time.Second, 2300 * time.Millisecond, 0}, // 100 %
		{6 * time.Second, 2300 * time.Millisecond, 0},
		{8 * time.Second, 2300 * time.Millisecond, 2 * time.Second},
		{9 * time.Second, 0, 0}, // another run
		{10 * time.Second, 0, 0},
		{12 * time.Second, 0, 2 * time.Second},
	} {
		m.add(s.used, 1, t0.Add(s.at))
		if got := m.quiet(t0.Add(s.at)); s.quiet >= 0 && got != s.quiet {
			t.Errorf("at %s: quiet for %s, want %s", s.at, got, s.quiet)
		}
	}
}

// One that was cut off while it left the warm pool has its time from when it is waited for again, however long nobody did.
func TestHandoverThatWasCutOff(t *testing.T) {
	now := time.Now()
	b := &boot{spec: bus.Group{BootTimeout: time.Minute}, vm: VM{Name: "web-1"}, started: now.Add(-time.Hour)}
	b.resume(true, now)
	if waited := now.Sub(b.started); waited > wakeWithin {
		t.Fatalf("overdue at once: it counts as waited for since %s", waited)
	}
	if err := b.overdue("its guest agent does not answer"); err != nil {
		t.Errorf("overdue at once: %v", err)
	}
}
