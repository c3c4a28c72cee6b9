package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

func downCommand(g *globals) *cobra.Command {
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "down GROUP",
		Short: "Remove a group's VMs and their disks",
		Long: `Remove a group's VMs and their disks, after asking. It works straight on libvirt, with no config and no bus, and
refuses while a vmscaler acts on the same libvirt that has the group in its config: one that has not leaves its VMs alone. Templates stay.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			group, out := args[0], cmd.OutOrStdout()
			uri, err := g.fileURI(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			hv, err := g.reach(cmd.Context(), uri, cmd.ErrOrStderr(), false)
			if err != nil {
				return err
			}
			defer hv.close()
			lock, err := acquire(hv, "vmscaler down", "", "")
			var locked *host.LockedError
			switch {
			case err == nil:
				defer lock.Release()
			case errors.As(err, &locked) && leavesAlone(locked.Holder, group):
				fmt.Fprintf(out, "%s acts on %s, and leaves group %s alone: it has %s\n", locked.Holder.Command, hv.choice.URI, group, strings.Join(locked.Holder.Groups, ", "))
			case errors.As(err, &locked):
				return fmt.Errorf("%w; or take group %s out of its config, start it anew, and repeat this", err, group)
			default:
				return err
			}
			inv, err := vm.ReadInventory(hv.conn)
			if err != nil {
				return err
			}
			vms := inv.Group(group)
			if len(vms) == 0 {
				fmt.Fprintf(out, "group %s has no VMs at %s; nothing to remove\n", group, hv.choice)
				if known := inv.Groups(); len(known) > 0 {
					fmt.Fprintf(out, "groups with VMs there: %s\n", strings.Join(known, ", "))
				}
				if hv.choice.Unasked != nil {
					return fmt.Errorf("whether group %s has VMs at %s is not known: %w", group, host.SystemURI, hv.choice.Unasked)
				}
				return nil
			}
			var names []string
			for _, vm := range vms {
				names = append(names, vm.Name)
			}
			fmt.Fprintf(out, "group %s at %s: %s, with disk\n", group, hv.choice.URI, strings.Join(names, ", "))
			if !yes {
				ok, err := confirm(cmd, "Remove them?")
				if err != nil {
					return err
				}
				if !ok {
					return errors.New("not confirmed, nothing was removed")
				}
			}
			var mu sync.Mutex
			return vm.Down(cmd.Context(), hv.conn, vms, timeout, func(e bus.Event) {
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprintf(out, "%-12s %-9s %.1f s\n", e.VM, e.Event, float64(e.ElapsedMS)/1000)
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().DurationVar(&timeout, "shutdown-timeout", 20*time.Second, "how long a guest may take to shut down before it is destroyed")
	return cmd
}

// leavesAlone reports whether the process that acts has told its groups, and this one is not one of them.
func leavesAlone(h host.Holder, group string) bool {
	return len(h.Groups) > 0 && !slices.Contains(h.Groups, group)
}

// confirm asks on the terminal; without one it is an error.
func confirm(cmd *cobra.Command, question string) (bool, error) {
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return false, errors.New("no terminal to ask on: use --yes")
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s [y/N] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && answer == "" {
		return false, nil // end of input is a no
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}
