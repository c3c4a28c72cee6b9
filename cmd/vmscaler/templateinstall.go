package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/install"
	"github.com/vmscaler/vmscaler/actuator/seed"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// templateInstallCmd is the command template install.
type templateInstallCmd struct {
	g                                       *globals
	name, iso, script                       string
	disk, memory                            string
	vcpus                                   int
	network, hostname, sshKey, rootPassword string
	keep                                    bool

	diskMiB, memoryMiB int
	vars               install.Vars
	steps              []install.Step
}

func templateInstallCommand(g *globals) *cobra.Command {
	c := &templateInstallCmd{g: g}
	cmd := &cobra.Command{
		Use:   "install NAME --iso FILE",
		Short: "Install a system from an ISO image, unattended, and make a template of it",
		Long: long(`
Install a system from an ISO image into an empty disk, and make a template of that. A machine of its own boots the image; what is
typed on its serial console is in a script, a list of steps that each wait for what the console prints. The built-in one is
for the "virt" image of Alpine Linux; it adds the guest agent, sshd and stress-ng where a repository can be reached, and a
host name from the machine. docs/templates.md describes scripts for others (--script). The image needs a serial console.

When the machine is off its disk is checked and sealed. The machine is removed, also after Ctrl-C; with --keep it stays where
a step fails, and it says how to look at it.`),
		Example: "  vmscaler template install alpine --iso alpine-virt-3.22.1-x86_64.iso --ssh-key ~/.ssh/id_ed25519.pub\n" +
			"  vmscaler template install web --iso installer.iso --script web.yaml --disk 8GiB --memory 1GiB",
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.name = args[0]
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.iso, "iso", "", "the ISO image to install from")
	f.StringVar(&c.script, "script", "", "a file with the steps; \"\": those for Alpine Linux")
	f.StringVar(&c.disk, "disk", "2GiB", "the size of the template's disk")
	f.StringVar(&c.memory, "memory", "512MiB", "the memory of the machine that installs")
	f.IntVar(&c.vcpus, "vcpus", 1, "its vCPUs")
	f.StringVar(&c.network, "network", "", "its network: one of libvirt's, or \"user\"; \"\": as groups that name none have it")
	f.StringVar(&c.hostname, "hostname", "", "the host name of the installed system; \"\": NAME")
	f.StringVar(&c.sshKey, "ssh-key", "", "a file with a public key that root may log in with")
	f.StringVar(&c.rootPassword, "root-password-file", "", "a file with root's password; \"\": root has none on the console")
	f.BoolVar(&c.keep, "keep", false, "leave the machine where a step fails")
	return cmd
}

var hostnamePattern = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (c *templateInstallCmd) validate() error {
	if err := checkNewTemplate(c.name); err != nil {
		return err
	}
	if c.hostname == "" {
		base, _, _ := strings.Cut(c.name, ":") // without the version
		c.hostname = strings.TrimRight(base, "-")
	}
	var err error
	switch {
	case c.iso == "":
		return usageError{errors.New("--iso: found nothing, want an ISO image")}
	case c.vcpus < 1 || c.vcpus > 512:
		return usageError{fmt.Errorf("--vcpus: found %d, want 1 to 512", c.vcpus)}
	case !hostnamePattern.MatchString(c.hostname):
		return usageError{fmt.Errorf("--hostname: found %q, want a lower-case letter, then letters, digits and dashes, at most 63",
			c.hostname)}
	}
	if c.diskMiB, err = parseMiB(c.disk, 64); err != nil {
		return usageError{fmt.Errorf("--disk: %w", err)}
	}
	if c.memoryMiB, err = parseMiB(c.memory, 32); err != nil {
		return usageError{fmt.Errorf("--memory: %w", err)}
	}
	return c.readFiles()
}

// readFiles reads what the command line names, before anything is made.
func (c *templateInstallCmd) readFiles() error {
	if err := install.CheckMedium(c.iso); err != nil {
		return fmt.Errorf("--iso: %w", err)
	}
	c.vars = install.Vars{Hostname: c.hostname}
	var err error
	if c.sshKey != "" {
		if c.vars.SSHKey, err = readPublicKey(c.sshKey); err != nil {
			return fmt.Errorf("--ssh-key: %w", err)
		}
	}
	if c.rootPassword != "" {
		if c.vars.RootPassword, err = readLine(c.rootPassword); err != nil {
			return fmt.Errorf("--root-password-file: %w", err)
		}
	}
	if c.script == "" {
		c.steps, err = install.Alpine(c.vars)
		return err
	}
	text, err := readSmall(c.script, install.MaxScript)
	if err != nil {
		return fmt.Errorf("--script: %w", err)
	}
	c.steps, err = install.Parse(c.script, text, c.vars)
	return err
}

// readPublicKey reads a file of one key, which a script types into a shell. Nothing is quoted from one without, which may be a
// secret.
func readPublicKey(path string) (string, error) {
	text, err := readSmall(path, 16<<10)
	if err != nil {
		return "", err
	}
	key := bus.Text{Text: string(text), File: path}
	if problems := seed.Check(bus.CloudInit{SSHKeys: []bus.Text{key}}, "install"); len(problems) > 0 {
		p := problems[0]
		where := path
		if p.Line > 0 {
			where += fmt.Sprintf(", line %d", p.Line)
		}
		return "", fmt.Errorf("%s: found %s, want %s", where, p.Found, p.Allowed)
	}
	line, err := readLine(path)
	if err == nil && !sshKeyPattern.MatchString(line) {
		err = fmt.Errorf("%s: found a key with options or an unusual comment, want a line like `ssh-ed25519 AAAA... comment`",
			path)
	}
	return line, err
}

// sshKeyPattern is a public key with a comment that no shell takes for anything else.
var sshKeyPattern = regexp.MustCompile(`^[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [A-Za-z0-9@._+ -]*)?$`)

func (c *templateInstallCmd) run(cmd *cobra.Command) error {
	return c.g.withConfig(cmd, func(hv *libvirtHost, cfg config.Config) error {
		ctx, out, stderr := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
		if _, err := host.EnsurePool(hv.conn, cfg.Pool, hv.uri); err != nil {
			return err
		}
		if err := checkNetwork(hv, c.network); err != nil {
			return err
		}
		m, err := manager(hv, cfg)
		if err != nil {
			return err
		}
		if c.name, err = template.NewName(hv.conn, cfg.Pool, c.name); err != nil {
			return err
		}
		lock, err := beginTrial(ctx, hv, cfg, "vmscaler template install", stderr)
		if err != nil {
			return err
		}
		defer lock.Release()
		spec := trialSpec(cfg, template.Info{}, hv.uri)
		spec.VCPUs, spec.MemoryMiB = c.vcpus, c.memoryMiB
		if c.network != "" {
			spec.Network = c.network
		}
		info, err := install.Run(ctx, install.Installation{
			Manager: m, Spec: spec, DiskBytes: uint64(c.diskMiB) << 20, ISO: c.iso,
			To:    template.Target{Pool: cfg.Pool, Name: c.name, KeepFreeMiB: cfg.Host.PoolReserveMiB},
			Steps: c.steps, Secrets: []string{c.vars.RootPassword}, OffWithin: 5 * time.Minute, Keep: c.keep,
			Step: stepper(out), Progress: progress(out, "uploading"),
		})
		if err != nil {
			return fmt.Errorf("install template %s: %w", c.name, err)
		}
		fmt.Fprintf(out, "template %s is there, a disk of %s; use it with \"template: %s\", and see `vmscaler template check %s`\n",
			c.name, bytesText(info.Capacity), c.name, c.name)
		return nil
	})
}

// checkNetwork refuses a network by name that a machine could not start on; "" is none that was named.
func checkNetwork(hv *libvirtHost, name string) error {
	if name == "" || name == bus.UserNetwork {
		return nil
	}
	all, err := hv.conn.ListAllNetworks(0)
	if err != nil {
		return fmt.Errorf("list networks: %w", err)
	}
	active := map[string]bool{}
	for i := range all {
		called, err := all[i].GetName()
		if err == nil {
			active[called], err = all[i].IsActive()
		}
		_ = all[i].Free()
		if err != nil {
			return fmt.Errorf("read a network: %w", err)
		}
	}
	return judgeNetwork(name, active)
}

// judgeNetwork judges a name by the networks that there are, of each whether it is active.
func judgeNetwork(name string, active map[string]bool) error {
	up, there := active[name]
	switch {
	case up:
		return nil
	case there:
		return usageError{fmt.Errorf("--network: found %q, which is not active; start it first: virsh net-start %s", name, name)}
	}
	known := append([]string{bus.UserNetwork}, slices.Sorted(maps.Keys(active))...)
	return usageError{fmt.Errorf("--network: found %q, want one of %s", name, strings.Join(known, ", "))}
}

// parseMiB reads a size such as 512MiB or 2GiB.
func parseMiB(text string, least int) (int, error) {
	wrong := fmt.Errorf("found %q, want a size from %dMiB to 16384GiB, such as 512MiB or 2GiB", text, least)
	number, factor := strings.TrimSuffix(text, "MiB"), 1
	if s, ok := strings.CutSuffix(text, "GiB"); ok {
		number, factor = s, 1024
	}
	n, err := strconv.Atoi(number)
	if err != nil || number == text || n < 1 || n > 16384*1024/factor || n*factor < least {
		return 0, wrong
	}
	return n * factor, nil
}

// readLine reads a file of one line.
func readLine(path string) (string, error) {
	text, err := readSmall(path, 16<<10)
	if err != nil {
		return "", err
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if line == "" || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("%s: want one line of text", path)
	}
	return line, nil
}

// readSmall reads a regular file of at most so many bytes.
func readSmall(path string, most int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > most {
		return nil, fmt.Errorf("%s: found %d bytes, want a regular file of at most %d", path, st.Size(), most)
	}
	return os.ReadFile(path)
}
