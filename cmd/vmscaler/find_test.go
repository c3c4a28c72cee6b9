package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// TestFindTarget: what is named is asked, and never another one; where nothing is, what runs here.
func TestFindTarget(t *testing.T) {
	const usual, home = "nats://127.0.0.1:4222", "/home/me/.local/state/vmscaler"
	states := map[string]string{"/run/d": "nats://127.0.0.1:4776", home: "nats://127.0.0.1:4300"}
	root := host.Holder{BusURL: "nats://127.0.0.1:4555", StateDir: "/var/lib/vmscaler"}
	mine := host.Holder{BusURL: "nats://127.0.0.1:4556", StateDir: home}
	joined := host.Holder{BusURL: "nats://kvm1:4222", StateDir: "/var/lib/records"}
	for _, tt := range []struct {
		name            string
		flags, env      place
		file            place
		holders         []host.Holder
		nothing         bool // on the usual state folder
		url, dir, fails string
	}{
		{name: "nothing is named or runs", nothing: true, url: usual, dir: home},
		{name: "the usual folder's bus runs", url: "nats://127.0.0.1:4300", dir: home},
		{name: "a process acts", holders: []host.Holder{root}, url: root.BusURL, dir: "/var/lib/vmscaler"},
		{
			name: "one that only removes acts", holders: []host.Holder{{Command: "vmscaler down"}}, url: "nats://127.0.0.1:4300",
			dir: home,
		},
		{name: "two act, one is the user's own", holders: []host.Holder{root, mine}, url: mine.BusURL, dir: home},
		{
			name: "two others act", holders: []host.Holder{root, joined},
			fails: "several vmscalers run here, at nats://127.0.0.1:4555, nats://kvm1:4222: name one with --nats-url",
		},
		{name: "--nats-url", flags: place{url: "nats://x:1"}, holders: []host.Holder{root}, url: "nats://x:1", dir: home},
		{name: "--nats-url and --state-dir", flags: place{url: "nats://x:1", stateDir: "/run/d"}, url: "nats://x:1", dir: "/run/d"},
		{
			name: "--nats-url, the file's folder", flags: place{url: "nats://x:1"}, file: place{stateDir: "/run/d"}, url: "nats://x:1",
			dir: "/run/d",
		},
		{
			name: "--state-dir", flags: place{stateDir: "/run/d"}, holders: []host.Holder{root}, url: "nats://127.0.0.1:4776",
			dir: "/run/d",
		},
		{
			name: "--state-dir over an environment's address", flags: place{stateDir: "/run/d"}, env: place{url: "nats://x:1"},
			url: "nats://127.0.0.1:4776", dir: "/run/d",
		},
		{
			name: "--state-dir of one that joined", flags: place{stateDir: "/var/lib/records"}, holders: []host.Holder{root, joined},
			url: "nats://kvm1:4222", dir: "/var/lib/records",
		},
		{
			name: "--state-dir, and the file joins", flags: place{stateDir: "/none"}, file: place{url: "nats://x:1"}, url: "nats://x:1",
			dir: "/none",
		},
		{
			name: "--state-dir, and nothing runs there", flags: place{stateDir: "/none"}, holders: []host.Holder{root},
			fails: "no vmscaler runs here: state folder /none, bus " + usual +
				"; start it with `vmscaler run --state-dir /none`, or name another",
		},
		{
			name: "the environment's folder", env: place{stateDir: "/run/d"}, holders: []host.Holder{root}, url: "nats://127.0.0.1:4776",
			dir: "/run/d",
		},
		{
			name: "the environment's folder and address", env: place{url: "nats://x:1", stateDir: "/none"}, url: "nats://x:1",
			dir: "/none",
		},
		{
			name: "the environment over the file", env: place{url: "nats://x:1"}, file: place{url: "nats://y:1"}, url: "nats://x:1",
			dir: home,
		},
		{
			name: "the environment's listen", env: place{listen: "0.0.0.0:4777"}, file: place{url: "nats://y:1"},
			url: "nats://127.0.0.1:4777", dir: home,
		},
		{
			name: "the file's listen", file: place{listen: "127.0.0.1:4777"}, holders: []host.Holder{root}, url: "nats://127.0.0.1:4777",
			dir: home,
		},
		{
			name: "the file listens anywhere", file: place{listen: "127.0.0.1:0"}, holders: []host.Holder{root}, url: root.BusURL,
			dir: "/var/lib/vmscaler",
		},
		{
			name: "the file's folder", file: place{stateDir: "/run/d", listen: "127.0.0.1:4777"}, url: "nats://127.0.0.1:4776",
			dir: "/run/d",
		},
	} {
		got, err := findTarget([]place{tt.flags, tt.env, tt.file}, target{url: usual, stateDir: home}, around{
			state: func(dir string) (server.StateHolder, bool) {
				url, is := states[dir]
				return server.StateHolder{URL: url}, is && (dir != home || !tt.nothing)
			},
			holders: tt.holders,
		})
		switch {
		case tt.fails != "":
			if err == nil || !strings.HasPrefix(err.Error(), tt.fails) {
				t.Errorf("%s: %+v, %v, want %s", tt.name, got, err, tt.fails)
			}
		case err != nil || got.url != tt.url || got.stateDir != tt.dir:
			t.Errorf("%s: %+v, %v, want %s with %s", tt.name, got, err, tt.url, tt.dir)
		}
	}
}

// askingCommands are command lines of all commands that talk to a running vmscaler.
func askingCommands() []string {
	return []string{
		"status", "health", "explain web", "events", "events web", "pause web", "resume web", "dry-run web", "scale web 2",
		"set web upper=60",
		"reset web", "diff", "wait web stable", "wake web", "metric web requests 5", "hook continue AAAAAAAAAAAAAAAAAAAAAAAAAA",
	}
}

// alone is a machine on which no vmscaler runs, and a folder of its own.
func alone(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{
		"VMSCALER_NATS_URL", "VMSCALER_STATE_DIR", "VMSCALER_BUS_LISTEN", "VMSCALER_URI",
		"VMSCALER_CONFIG",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("VMSCALER_LOCK_DIR", t.TempDir())
	return dir
}

// TestNothingRuns: all commands say the same, and how to go on, with an exit code of its own.
func TestNothingRuns(t *testing.T) {
	alone(t)
	state := filepath.Join(t.TempDir(), "none")
	for _, line := range askingCommands() {
		_, err := command(t, append(strings.Fields(line), "--state-dir", state)...)
		want := "no vmscaler runs here: state folder " + state
		if err == nil || !strings.HasPrefix(err.Error(), want) || exitCode(err) != exitNobody {
			t.Errorf("%s: %v (exit code %d), want %s", line, err, exitCode(err), want)
		}
		_, err = command(t, append(strings.Fields(line), "--nats-url", "nats://127.0.0.1:1")...)
		want = "no bus answers at nats://127.0.0.1:1: start it there, or name another with --nats-url"
		if err == nil || err.Error() != want || exitCode(err) != exitNobody {
			t.Errorf("%s: %v (exit code %d), want %s", line, err, exitCode(err), want)
		}
	}
}

// TestMute: where a process runs and its bus does not answer, nobody is told to start another one, which would be refused.
func TestMute(t *testing.T) {
	since := time.Date(2026, 11, 26, 12, 0, 0, 0, time.Local)
	none := func(string) (server.StateHolder, bool) { return server.StateHolder{}, false }
	here := target{url: "nats://127.0.0.1:4222", stateDir: "/state"}
	for _, tt := range []struct {
		name string
		here around
		want string
	}{
		{"nothing", around{state: none}, ""},
		{"another's actuator", around{state: none, holders: []host.Holder{{PID: 7, BusURL: "nats://127.0.0.1:4333"}}}, ""},
		{
			"an actuator without its bus",
			around{state: none, holders: []host.Holder{{PID: 7, Command: "vmscaler actuator", BusURL: here.url, Since: since}}},
			"no bus answers at nats://127.0.0.1:4222, though vmscaler actuator (process 7, since 2026-11-26 12:00:00) is there and " +
				"waits for it: start it with `vmscaler bus`",
		},
		{
			"a bus that is stopped",
			around{state: func(string) (server.StateHolder, bool) {
				return server.StateHolder{PID: 8, URL: here.url, Since: since}, true
			}, holders: []host.Holder{{PID: 8, Command: "vmscaler run", BusURL: here.url, Since: since}}},
			"though a bus (process 8, since 2026-11-26 12:00:00) has it: it hangs or was stopped; `kill -CONT 8`",
		},
	} {
		if got := mute(here, tt.here); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestNoDeciderRuns: a bus alone is no running vmscaler either.
func TestNoDeciderRuns(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	startServer(t, dir)
	_, err := command(t, "status", "--state-dir", dir)
	if err == nil || exitCode(err) != exitNobody || !strings.Contains(err.Error(), "no decider is running") {
		t.Errorf("%v, exit code %d", err, exitCode(err))
	}
}

func startServer(t *testing.T, dir string) *server.Server {
	t.Helper()
	server, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// statusOf answers requests for the status with some groups.
func statusOf(names ...string) func(client.Request) error {
	return func(r client.Request) error {
		s := bus.Status{V: bus.Version, Time: time.Now(), Stages: []bus.Health{}}
		for _, name := range names {
			s.Groups = append(s.Groups, bus.GroupStatus{Group: name})
		}
		return r.Answer(s)
	}
}

// TestStateFolderSaysWhereItsBusIs: every command that is told a state folder asks the bus that runs there, also where
// that has another port than the file says, and in spite of a file in the current folder that is broken.
func TestStateFolderSaysWhereItsBusIs(t *testing.T) {
	dir := alone(t)
	flags := decider(t, statusOf("web"))
	if err := os.WriteFile(filepath.Join(dir, defaultConfig), []byte("groups: [\nbus: {listen: \"127.0.0.1:1\"}"),
		0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "status", "--state-dir", flags[3])
	if err != nil || !strings.HasPrefix(out, "group web\n") {
		t.Errorf("got %q, %v", out, err)
	}
	out, err = command(t, "bus", "credentials", "operator", "--state-dir", flags[3])
	if err != nil || !strings.HasPrefix(out, flags[3]) || !strings.Contains(out, "--nats-url "+flags[1]+" ") {
		t.Errorf("got %q, %v", out, err)
	}
}

// TestHolderSaysWhereItsBusIs: nothing is named, and the process that acts here is asked, with the credentials of its
// state folder, by commands with rights, too.
func TestHolderSaysWhereItsBusIs(t *testing.T) {
	alone(t)
	flags := decider(t, func(r client.Request) error {
		if r.Verb == bus.VerbStatus {
			return statusOf("web")(r)
		}
		return r.Answer(bus.Controls{Paused: []bus.Scope{}, By: r.Query.By})
	})
	lock, err := host.Acquire(
		host.Target{Names: []string{"host-system"}},
		host.Holder{PID: os.Getpid(), Command: "vmscaler run", URI: "qemu:///system", BusURL: flags[1], StateDir: flags[3]},
	)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	for _, line := range []string{"status", "diff", "pause web", "resume web", "dry-run web"} {
		if _, err := command(t, strings.Fields(line)...); exitCode(err) != map[string]int{"diff": exitRefused}[line] {
			t.Errorf("%s: %v", line, err)
		}
	}
	out, err := command(t, "bus", "credentials", "operator")
	if err != nil || !strings.HasPrefix(out, flags[3]) || !strings.Contains(out, "--nats-url "+flags[1]+" ") {
		t.Errorf("got %q, %v", out, err)
	}
}

// The schedule is that of the file that the process reads which acts here, and not of one that just lies in the folder.
func TestScheduleOfWhatRuns(t *testing.T) {
	dir := alone(t)
	flags := decider(t, statusOf("web"))
	runs := filepath.Join(t.TempDir(), "runs.yaml")
	for file, text := range map[string]string{
		filepath.Join(dir, defaultConfig): "groups: [{name: other}]\n", runs: "groups: [{name: web, min: 2, max: 7}]\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := host.Acquire(host.Target{Names: []string{"host-system"}}, host.Holder{
		PID: os.Getpid(), Command: "vmscaler run", URI: "qemu:///system", BusURL: flags[1], StateDir: flags[3], Config: runs,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	if out, err := command(t, "schedule"); err != nil || out != "web  now  min 2, max 7; it has no schedule\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if out, err := command(t, "schedule", "-c", defaultConfig); err != nil || !strings.HasPrefix(out, "other  now  ") {
		t.Errorf("with -c: %q, %v", out, err)
	}
}

// TestBrokenConfigOfTheFolder: commands that need only the address warn and go on; a file that is named must be right.
func TestBrokenConfigOfTheFolder(t *testing.T) {
	dir := alone(t)
	flags := decider(t, func(r client.Request) error {
		if r.Verb == bus.VerbStatus {
			return statusOf("web")(r)
		}
		return r.Answer(bus.Controls{Paused: []bus.Scope{}, By: r.Query.By})
	})
	broken := filepath.Join(dir, defaultConfig)
	if err := os.WriteFile(broken, []byte("groups: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"status", "pause web", "resume web", "dry-run web", "events"} {
		if _, err := command(t, append(strings.Fields(line), flags...)...); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if _, err := command(t, append(strings.Fields(line), append(flags, "-c", broken)...)...); err == nil ||
			!strings.Contains(err.Error(), "groups: found 5") {
			t.Errorf("%s -c: %v", line, err)
		}
	}
}

// TestAnotherVmscalersGroups: one that has no group of the file that is named is not the one that is meant.
func TestAnotherVmscalersGroups(t *testing.T) {
	dir := alone(t)
	flags := decider(t, statusOf("web", "db"))
	for name, wrong := range map[string]bool{"web": false, "cache": true} {
		file := filepath.Join(dir, name+".yaml")
		if err := os.WriteFile(file, []byte("groups: [{name: "+name+"}]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := command(t, append([]string{"status", "-c", file}, flags...)...)
		if (err != nil) != wrong || wrong && !strings.Contains(err.Error(), "has the groups web, db, and "+file+" has cache") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNkeyFolder: several stages of one process have a key each, in a folder that is named.
func TestNkeyFolder(t *testing.T) {
	dir := alone(t)
	state := t.TempDir()
	server := startServer(t, state)
	for _, tt := range []struct{ nkey, role, want string }{
		{"", "collector", ""},
		{filepath.Join(dir, "my.nk"), "collector", filepath.Join(dir, "my.nk")},
		{filepath.Join(state, "credentials"), "collector", filepath.Join(state, "credentials", "collector.nk")},
		{filepath.Join(state, "credentials"), "actuator", filepath.Join(state, "credentials", "actuator.nk")},
	} {
		if got := remote(config.Config{BusURL: server.URL(), BusNkey: tt.nkey})(tt.role).Nkey; got != tt.want {
			t.Errorf("%s with %q: %q, want %q", tt.role, tt.nkey, got, tt.want)
		}
	}
}
