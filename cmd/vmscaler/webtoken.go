package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
	"github.com/vmscaler/vmscaler/dashboard/web"
)

// webTokenCmd is the command web token.
type webTokenCmd struct {
	g    *globals
	bus  busFlags
	role string
	name string
}

func webTokenCommand(g *globals) *cobra.Command {
	c := &webTokenCmd{g: g}
	cmd := &cobra.Command{
		Use:   "token [NAME]",
		Short: "Make a token for what is served over HTTP, and print it once",
		Long: long(`
Make a token for what is served over HTTP, and print it. It is not printed again: only its hash is kept, in the folder
web-tokens of the state folder. To revoke it, remove the file of its name there. With the role watch its holder may read; with
the role operator also change what an operator may. NAME is who has asked in the history; by default it is the role's.`),
		Example: "  vmscaler web token --role operator terraform\n  vmscaler web token --role watch grafana",
		Args:    argsBetween(0, 1),
		RunE:    checked(c.validate, c.run),
	}
	cmd.Flags().StringVar(&c.role, "role", "", "what its holder may do: "+strings.Join(webRoles(), " or "))
	c.bus.addOnly(cmd, "state-dir")
	return cmd
}

func webRoles() (names []string) {
	for _, r := range web.Roles() {
		names = append(names, string(r))
	}
	return names
}

func (c *webTokenCmd) validate(args []string) error {
	if names := webRoles(); !slices.Contains(names, c.role) {
		return usageError{
			fmt.Errorf("--role: found %q, want %s%s", c.role, strings.Join(names, " or "), nearest.Hint(c.role, names)),
		}
	}
	c.name = cmp.Or(strings.Join(args, ""), c.role)
	if err := web.CheckTokenName(c.name); err != nil {
		return usageError{fmt.Errorf("NAME: %w", err)}
	}
	return nil
}

func (c *webTokenCmd) run(cmd *cobra.Command) error {
	cfg, _, err := c.g.addressConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if _, err := c.bus.apply(&cfg); err != nil {
		return err
	}
	token, err := web.Tokens{Dir: web.TokensDir(stateDir(cfg))}.Make(c.name, web.Role(c.role), time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), token)
	return nil
}
