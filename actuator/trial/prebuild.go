package trial

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// Prebuild is a template that is made of another one by booting it once with a seed.
type Prebuild struct {
	Manager vm.Manager
	Spec    bus.Group // its template is the one that is begun with, its cloud_init what is done
	To      template.Target
	Within  time.Duration // how long cloud-init may take
	Source  string        // kept as where the template came from
	Step    func(what string)
}

// How long the other steps may take.
const (
	cleanWithin = 2 * time.Minute
	offWithin   = 2 * time.Minute
)

// Run boots a clone with its seed, waits until cloud-init has finished, takes out what must be unique, shuts it down and seals
// its disk, with all that is below it, as a new template. The clone is removed, however it ends.
func (p Prebuild) Run(ctx context.Context) (info template.Info, err error) {
	if info, err := template.Lookup(p.Manager.Conn, p.To.Pool, p.To.Name); err == nil && info.Complete {
		return template.Info{}, fmt.Errorf("template %s: %w; choose another name", p.To.Name, template.ErrExists)
	}
	p.Spec = throwAway(p.Spec)
	defer func() {
		p.Step("removing the clone")
		_, removal := RemoveGroup(ctx, p.Manager, p.Spec.Name)
		err = errors.Join(err, removal)
	}()
	p.Step("making a clone of " + p.Spec.Template)
	c, err := launch(ctx, p.Manager, p.Spec, 1)
	if err != nil {
		return template.Info{}, err
	}
	defer c.free()
	if err := p.prepare(ctx, c); err != nil {
		return template.Info{}, err
	}
	p.Step("sealing its disk")
	from := template.Volume{Pool: c.vm.Meta.Pool, Name: c.vm.Meta.Volume}
	return template.Seal(ctx, p.Manager.Conn, p.To, from, p.Source, nil)
}

// prepare has the clone do what its seed says, and leaves it off.
func (p Prebuild) prepare(ctx context.Context, c *clone) error {
	p.Step("booting it")
	if _, err := c.awaitReady(ctx); err != nil {
		return err
	}
	p.Step("waiting for cloud-init")
	output, code, err := vm.RunInGuest(ctx, c.dom, waitScript, p.Within)
	if err := finished(output, code, err); err != nil {
		return err
	}
	p.Step("taking out what must be unique")
	output, code, err = vm.RunInGuest(ctx, c.dom, cleanScript, cleanWithin)
	if err == nil && code != 0 {
		err = fmt.Errorf("found exit code %d, want 0: %s", code, bus.Line(lastLine(output)))
	}
	if err != nil {
		return fmt.Errorf("clean %s: %w", c.vm.Name, err)
	}
	p.Step("shutting it down")
	if err := c.dom.ShutdownFlags(libvirt.DOMAIN_SHUTDOWN_ACPI_POWER_BTN); err != nil {
		return fmt.Errorf("shut down %s: %w", c.vm.Name, err)
	}
	off, err := c.awaitOff(ctx, offWithin)
	if err == nil && off == nil { // a disk that is cut off may be damaged
		err = fmt.Errorf("%s was not off within %s of its power button being pressed", c.vm.Name, offWithin)
	}
	return err
}

// noCloudInit is the exit code of waitScript where there is none.
const noCloudInit = 42

// waitScript says how cloud-init has ended. 2 is "with errors that it could recover from".
const waitScript = `command -v cloud-init >/dev/null 2>&1 || exit 42
cloud-init status --wait --long 2>&1`

// finished judges how cloud-init has ended.
func finished(output string, code int, err error) error {
	switch {
	case errors.Is(err, vm.ErrGuestHidden):
		return fmt.Errorf("cloud-init: %w; prebuild needs a guest agent that may run programs (guest-exec)", err)
	case err != nil:
		return fmt.Errorf("cloud-init: %w", err)
	case code == noCloudInit:
		return errors.New("cloud-init is not in the template, so the seed has no effect")
	case code == 0:
		return nil
	}
	said := bus.Line(strings.Join(strings.Fields(output), " "))
	return fmt.Errorf("cloud-init has failed (exit code %d): %s", code, bus.Clip(said, bus.MaxLogText))
}

// cleanScript takes out of a guest what each clone makes for itself. The machine id's file stays, empty: without it, as
// cloud-init may leave it, systemd takes each clone's boot for the system's first one, and enables again what was disabled.
const cleanScript = `set -e
root=
cloud-init clean --logs
rm -f /etc/ssh/ssh_host_*
[ ! -e /etc/machine-id ] || : > /etc/machine-id
[ ! -e /var/lib/dbus/machine-id ] || [ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
rm -f /var/lib/systemd/random-seed /var/lib/dhcp/*.leases /root/.bash_history /root/.ash_history
` + forgetKeys + `
sync`

// usersKeys lists the files with the keys that users may log in with, below the folder $root: where sshd looks by itself, and
// where its configuration says that it looks, also if that holds for some users alone.
const usersKeys = `{
	echo .ssh/authorized_keys .ssh/authorized_keys2
	cat "$root"/etc/ssh/sshd_config "$root"/etc/ssh/sshd_config.d/*.conf \
		"$root"/usr/etc/ssh/sshd_config "$root"/usr/etc/ssh/sshd_config.d/*.conf 2>/dev/null |
		sed -n 's/[[:space:]]#.*//; s/^[[:space:]]*authorizedkeysfile[[:space:]=]*//Ip' | tr -d '"'
} | tr -s '[:space:]' '\n' | sort -u | while read -r pattern; do
	while IFS=: read -r user _ uid _ _ home _; do
		case $pattern in
		*%*) f=$(echo "$pattern" | sed "s|%h|$home|g; s|%u|$user|g; s|%U|$uid|g; s|%%|%|g") ;;
		*) f=$pattern ;;
		esac
		case $f in /*) ;; *) f=$home/$f ;; esac
		[ ! -f "$root$f" ] || echo "$root$f"
	done < "$root/etc/passwd"
done | sort -u`

// forgetKeys deletes them, below the folder $root: who had a key of one group would get into the VMs of another.
const forgetKeys = usersKeys + ` | while read -r f; do rm -f "$f"; done`

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
