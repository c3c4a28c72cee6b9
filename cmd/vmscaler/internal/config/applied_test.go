package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// overTheBus is a group as its receiver has it.
func overTheBus(t *testing.T, groups []bus.Group) (there []bus.Group) {
	t.Helper()
	data, err := json.Marshal(groups)
	if err == nil {
		err = json.Unmarshal(data, &there)
	}
	if err != nil {
		t.Fatal(err)
	}
	return there
}

func beside(t *testing.T, text string) []bus.Group {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"ud.yaml": "#cloud-config\n{}\n", "x.xml": "<domain><title>x</title></domain>"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, _, err := Parse(filepath.Join(dir, "vmscaler.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Groups
}

// What is applied is what a file could say, and chooses no program, file or network of a host that the host's own file does not.
func TestCheckApplied(t *testing.T) {
	const hook = "hooks: {launch: {wait_for: command, command: /bin/true}}"
	const other = "hooks: {launch: {wait_for: command, command: /bin/other}}"
	running := beside(t, "groups: [{name: web, max: 4, cloud_init: {user_data: file:ud.yaml}, "+hook+"}, {name: db}]")
	change := func(f func(*bus.Group)) []bus.Group {
		groups := overTheBus(t, running)
		f(&groups[0])
		return groups
	}
	for name, tt := range map[string]struct {
		groups, file []bus.Group
		want         string // "": it is right
	}{
		"the same":       {groups: running},
		"other numbers":  {groups: change(func(g *bus.Group) { g.Max, g.Policy.UpperPercent = 9, 81 })},
		"a group joins":  {groups: beside(t, "groups: [{name: new, template: big, memory: 1GiB}]")},
		"none":           {want: "groups: found none"},
		"a wrong number": {groups: change(func(g *bus.Group) { g.Max = 0 }), want: "groups[0].max: found 0, want"},
		"min over max": {
			groups: change(func(g *bus.Group) { g.Min = 7 }),
			want:   "groups[0].min: found 7, want at most max (4)",
		},
		"a policy of ours": {
			groups: change(func(g *bus.Group) { g.Policy.Types = []bus.PolicyType{"magic"} }),
			want:   "policy.type: found",
		},
		"twice": {groups: slices.Concat(running, running[:1]), want: "a name of its own"},
		"a hostile name": {
			groups: change(func(g *bus.Group) { *g = bus.DefaultGroup(); g.Name = "web\nx: y" }),
			want:   "groups[0].name: found",
		},
		"another command": {
			groups: change(func(g *bus.Group) { g.Hooks.Launch[0].Command = "/bin/sh" }),
			want:   "hooks.launch: found what no group",
		},
		"a command": {
			groups: beside(t, "groups: [{name: new, "+other+"}]"), want: "groups new.hooks.launch: found what no group",
		},
		"in the file by now": {
			groups: beside(t, "groups: [{name: new, "+other+"}]"), file: beside(t, "groups: [{name: new, "+other+"}]"),
		},
		"other user data": {
			groups: change(func(g *bus.Group) { g.CloudInit.UserData.Text += "#" }),
			want:   "cloud_init.user_data",
		},
		"the data of a file of another name": {groups: change(func(g *bus.Group) { g.CloudInit.UserData.File = "other" })},
		"a file of the host": {
			groups: change(func(g *bus.Group) { g.CloudInit.UserData = bus.Text{Text: "file:/etc/shadow"} }),
			want:   "cloud_init.user_data",
		},
		"a file with a hostile name": {
			groups: change(func(g *bus.Group) { g.CloudInit.UserData.File = "a\x1b[2J" }), want: "found the file name",
		},
		"a bridge of the host": {
			groups: change(func(g *bus.Group) { g.Hardware.NICs = []bus.NIC{{Type: bus.NICBridge, Source: "br0"}} }),
			want:   "nics: found what no group",
		},
		"a token": {
			groups: change(func(g *bus.Group) { g.Policy.Prometheus.TokenFile = "/etc/shadow" }),
			want:   "policy.prometheus.token_file",
		},
		"what no file says": {
			groups: change(func(g *bus.Group) { g.Schedule = nil }), want: "what no config file says",
		},
		"a program of another group": {groups: change(func(g *bus.Group) { g.Name, g.CloudInit = "new", bus.CloudInit{} })},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckApplied(overTheBus(t, tt.groups), running, tt.file)
			var text string
			if err != nil {
				text = err.Error()
			}
			if tt.want == "" && err != nil || !strings.Contains(text, tt.want) {
				t.Errorf("got %q, want %q", text, tt.want)
			}
			var problems Problems
			if errors.As(err, &problems) && slices.ContainsFunc(problems, func(p Problem) bool { return p.Line != 0 }) {
				t.Errorf("a line is named of a text that nobody sees: %v", problems)
			}
		})
	}
}

// A group arrives as it was sent: else its hash would be another one on each side.
func TestGroupsTravel(t *testing.T) {
	example, _, err := Load("../../../../examples/vmscaler.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range overTheBus(t, example.Groups) {
		if g.Hash() != example.Groups[i].Hash() {
			t.Errorf("group %s has another hash there", g.Name)
		}
	}
}

// Who adds a field decides whether it may be chosen over the bus.
func TestEachFieldIsOwnOrNot(t *testing.T) {
	free := strings.Fields(`name template template_sha256 min max vcpus memory disk disks cpu machine firmware watchdog panic
		tpm hugepages
		pinning
		tags ready_when ready_after identity boot_timeout shutdown_timeout drain scale_in victim_hook protect_new deletion_protection
		idle_to_zero wake_for blind_after dry_run repair min_ready max_lifetime maintenance refresh warm_pool brakes policy
		schedule
		on_host_loss lost_after isolate_after placement per_host_max rebalance`)
	g := bus.DefaultGroup()
	for _, f := range groupFields(&g) {
		isOwn := slices.ContainsFunc(own, func(path string) bool { return path == f.key || strings.HasPrefix(path, f.key+".") })
		if isOwn == slices.Contains(free, f.key) && f.key != "policy" {
			t.Errorf("field %s: is it a host's own, or may it be chosen over the bus?", f.key)
		}
	}
	for _, path := range own {
		if groupFields(&g).find(path) == nil {
			t.Errorf("there is no field %s", path)
		}
	}
}
