package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/dashboard/notify"
)

// notifyCmd is the command notify.
type notifyCmd struct {
	g   *globals
	bus busFlags
}

func notifyCommand(g *globals) *cobra.Command {
	c := &notifyCmd{g: g}
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Tell people and programs of chosen events: by webhook, e-mail or a command",
		Long: long(`
Tell people and programs of chosen events: by webhook, Slack, Matrix, Alertmanager, e-mail or a command, as the config's notify
says. ` + "`vmscaler run`" + ` does so by itself; this is a process of its own for stages that run apart. It only listens on the
bus. One is enough: each that runs tells of everything. SIGHUP of a service has it read the config again; one that is not right,
or has no target, changes nothing.`),
		Example: "  vmscaler notify -c vmscaler.yaml",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.connect(cmd)
	return cmd
}

// validate refuses a config by which nobody is told.
func (c *notifyCmd) validate(cfg config.Config) error {
	if len(cfg.Notify) == 0 {
		return usageError{errors.New("notify: found no target in the config, want one at least: see docs/notifications.md")}
	}
	return nil
}

func (c *notifyCmd) run(cmd *cobra.Command) error {
	cfg, err := c.g.loadConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if err := c.validate(cfg); err != nil {
		return err
	}
	log, err := c.g.logger(cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	n, err := notify.New(cfg.Notify, log)
	if err != nil {
		return err
	}
	hangups, unwatch := watchHangups()
	defer unwatch()
	go func() {
		for range hangups {
			if err := c.reload(cmd, n); err != nil {
				log.Error().Msgf("hangup: the config is not reloaded, all goes on as before: %s", asCalled(err.Error()))
			}
		}
	}()
	conn, r, err := c.g.joinWhenThere(cmd, c.bus, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintf(cmd.ErrOrStderr(), "bus: %s\n", r.url)
	return n.Run(cmd.Context(), conn)
}

// reload has those be told whom the config names now. One that is not right changes nothing.
func (c *notifyCmd) reload(cmd *cobra.Command, n *notify.Notifier) error {
	cfg, err := c.g.loadConfig(cmd.ErrOrStderr())
	if err == nil {
		err = c.validate(cfg)
	}
	if err != nil {
		return err
	}
	return n.Retarget(cfg.Notify)
}
