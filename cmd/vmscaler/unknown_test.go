package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// unknownNames is a line for each command that takes a name which need not exist.
var unknownNames = map[string]string{
	// answered by libvirt
	"protect": "protect nope-1", "down": "down nope --yes", "console": "console nope-1", "ssh": "ssh me@nope-1",
	"load": "load nope", "template show": "template show nope",
	"template rm": "template rm nope --yes", "template check": "template check nope", "template diff": "template diff nope nada",
	"volume rm": "volume rm nope --yes", "template prebuild": "template prebuild web --from nope --user-data user.yaml",
	// by the config
	"schedule": "schedule nope", "simulate": "simulate --history nope",
	// by the decider
	"launch": "launch nope", "forecast": "forecast nope",
	"schedule add": "schedule add nope noon --at @daily --min 1", "schedule rm": "schedule rm nope noon",
	"status": "status nope", "explain": "explain nope", "events": "events nope", "pause": "pause nope", "resume": "resume nope",
	"dry-run": "dry-run nope", "scale": "scale nope 2", "set": "set nope upper=60", "reset": "reset nope", "diff": "diff nope",
	"vms": "vms nope", "hook list": "hook list nope", "attach": "attach nope-1", "replace": "replace nope-1",
	"remove": "remove nope-1", "drain": "drain nope-1", "unhealthy": "unhealthy nope-1",
	"standby": "standby nope-1", "detach": "detach nope-1", "wake": "wake nope", "refresh": "refresh nope",
	"wait": "wait nope stable", "host remove": "host remove nope",
	"host cordon": "host cordon nope", "host drain": "host drain nope", "host uncordon": "host uncordon nope",
	"host show": "host show nope", "metric": "metric nope requests 5",
	// by the command line alone
	"context show": "context show nope", "context use": "context use nope", "context rm": "context rm nope",
	"context add": "context add nope --nats-nkey nope.nk", "health": "health nope",
	"bus credentials": "bus credentials nope", "hook": "hook continue nope",
}

// notNames are commands whose arguments name nothing that must exist, or whose exit codes are those of another program.
var notNames = map[string]bool{
	"exec": true, "completion": true, "help": true, "web token": true, "host add": true, "host join": true,
	"bus certificate": true, "template import": true, "template install": true, "template seal": true,
}

// TestUnknownNames: every command that is given a name that does not exist says so with the exit code for that.
func TestUnknownNames(t *testing.T) {
	dir := alone(t)
	t.Setenv("XDG_CONFIG_HOME", dir)
	verbs := []string{
		bus.VerbStatus, bus.VerbExplain, bus.VerbPause, bus.VerbResume, bus.VerbDryRun, bus.VerbScale, bus.VerbSet, bus.VerbReset,
		bus.VerbSchedule, bus.VerbLaunch, bus.VerbForecast,
		bus.VerbForget, bus.VerbHost, bus.VerbRefresh, bus.VerbWake,
	}
	for _, v := range bus.VMVerbs() {
		verbs = append(verbs, string(v))
	}
	flags := answering(t, bus.RoleDecider, verbs, func(r client.Request) error {
		return r.Refuse("%s", bus.Refuse(bus.RefusedUnknown, "there is no %q; there are: web", r.Query.Group+r.Query.VM+r.Query.Host))
	})
	file := filepath.Join(dir, "user.yaml")
	if err := os.WriteFile(file, []byte("#cloud-config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// libvirt's own test driver has this pool.
	if err := os.WriteFile(filepath.Join(dir, defaultConfig), []byte("libvirt: {uri: \"test:///default\", pool: default-pool}\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	for name, line := range unknownNames {
		cmd, _, err := rootCommand().Find(strings.Fields(line))
		if err != nil || strings.TrimPrefix(cmd.CommandPath(), program+" ") != name {
			t.Errorf("%s: is %v, %v", name, cmd, err)
			continue
		}
		args := strings.Fields(line)
		if cmd.Flags().Lookup("nats-url") != nil && cmd.Flags().Lookup("state-dir") != nil {
			args = append(args, flags...)
		}
		if out, err := command(t, args...); exitCode(err) != exitUsage {
			t.Errorf("%s: exit code %d, want %d: %v\n%s", line, exitCode(err), exitUsage, err, out)
		}
	}
	walk(rootCommand(), func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), program+" ")
		if takesArguments(cmd) && unknownNames[name] == "" && !notNames[name] {
			t.Errorf("%s: has no line here", name)
		}
	})
}

// takesArguments reports whether a command's usage has arguments, beside subcommands and a flag that it needs.
func takesArguments(cmd *cobra.Command) bool {
	_, takes, _ := strings.Cut(cmd.Use, " ")
	return takes != "" && !strings.HasPrefix(takes, "-") && !cmd.HasSubCommands()
}

// walk calls do with each command below one that a person can call.
func walk(cmd *cobra.Command, do func(*cobra.Command)) {
	for _, sub := range cmd.Commands() {
		if sub.Hidden {
			continue
		}
		do(sub)
		walk(sub, do)
	}
}

// TestAnotherServersPort: what has the port and is no NATS server is nobody, and is not waited for long.
func TestAnotherServersPort(t *testing.T) {
	alone(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
			_ = conn.Close()
		}
	}()
	url := "nats://" + listener.Addr().String()
	for _, line := range []string{"status", "pause web", "health"} {
		_, err := command(t, append(strings.Fields(line), "--nats-url", url)...)
		want := "no bus answers at " + url + ": what listens there is no NATS server: start it there, or name another with --nats-url"
		if exitCode(err) != exitNobody || err.Error() != want {
			t.Errorf("%s: exit code %d, %v", line, exitCode(err), err)
		}
	}
	t.Setenv("VMSCALER_BUS_LISTEN", listener.Addr().String())
	want := "bus " + url + "; start it with `vmscaler run`, where another program listens, so name a free address with --bus-listen"
	if _, err := command(t, "status"); exitCode(err) != exitNobody || !strings.Contains(err.Error(), want) {
		t.Errorf("exit code %d, %v", exitCode(err), err)
	}
	_ = listener.Close()
	<-done
}
