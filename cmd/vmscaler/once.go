package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// once is a flag that may be given once: of two, one would be ignored without a word.
type once struct {
	to  *string
	set bool
}

func (o *once) String() string {
	if o.to == nil {
		return ""
	}
	return *o.to
}
func (o *once) Type() string { return "string" }

func (o *once) Set(value string) error {
	if o.set && value != *o.to {
		return fmt.Errorf("found it twice, %q and %q, want it once", *o.to, value)
	}
	*o.to, o.set = value, true
	return nil
}

// otherVariables are those that are not settings of this program: tests' own, those that hooks get, and docker-compose.yml's.
func otherVariables() []string {
	return []string{
		"VMSCALER_LOCK_DIR", "VMSCALER_DIE_AT", "VMSCALER_HOOK", "VMSCALER_GROUP", "VMSCALER_VM", "VMSCALER_UUID", "VMSCALER_HOST",
		"VMSCALER_ADDRESS",
		"VMSCALER_FILE", "VMSCALER_POOL_DIR", "VMSCALER_IMAGE", "VMSCALER_VERSION", "VMSCALER_UID", "VMSCALER_LIBVIRT_UID",
	}
}

// unknownVariables are warnings of what in the environment looks like a setting and is none.
func unknownVariables(environ []string) (warnings []string) {
	settings := []string{"VMSCALER_CONFIG", "VMSCALER_CONTEXT", "VMSCALER_URI"}
	for _, s := range busSettings() {
		settings = append(settings, s.env)
	}
	for _, s := range httpSettings() {
		settings = append(settings, s.env)
	}
	slices.Sort(settings)
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "VMSCALER_") || strings.HasPrefix(name, "VMSCALER_TEST_") || slices.Contains(settings, name) ||
			slices.Contains(otherVariables(), name) {
			continue
		}
		hint := nearest.Hint(name, settings)
		if hint == "" {
			hint = "; there are " + strings.Join(settings, ", ")
		}
		warnings = append(warnings, fmt.Sprintf("%s in the environment is no setting%s", name, hint))
	}
	return warnings
}

// warnOfVariables prints them, but for a shell's completion.
func warnOfVariables(cmd *cobra.Command, _ []string) {
	if strings.HasPrefix(cmd.Name(), "__") || cmd.Hidden {
		return
	}
	for _, w := range unknownVariables(os.Environ()) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", w)
	}
}
