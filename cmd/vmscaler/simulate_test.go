package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/decider/simulate"
)

func TestSimulateValidates(t *testing.T) {
	for _, tt := range []struct {
		line     string
		policies []string // of the plan, where the line is right
		wrong    string   // in the usage error, where it is not
	}{
		{"", []string{"predictive", "threshold"}, ""},
		{"--policy hpa --compare hpa,threshold", []string{"hpa", "threshold"}, ""},
		{"--policy predictive --compare hpa,all", slices.Concat([]string{"predictive"}, slices.DeleteFunc(simulate.Baselines(),
			func(name string) bool { return name == "predictive" })), ""},
		{"--policy guess", nil, `"guess"`},
		{"--seeds 0", nil, "--seeds: found 0, want 1 to 100"},
		{"--boot 1s,2h", nil, "--boot: found [1s 2h0m0s], want 1s to 1h"},
		{"--min 5 --max 4", nil, "--min and --max: found 5 and 4"},
		{"--set target=60", nil, `--set: found "target", which neither threshold nor predictive uses`},
		{"--set steps.adjustment=percent", nil, "which neither"},
		{"--set metric_target=60", nil, "which neither"},
		{"--set upper=60 --set limits.rate_in=1", []string{"predictive", "threshold"}, ""},
		{"--warm 2 --handover 2s", []string{"predictive", "threshold"}, ""},
		{"--warm few", nil, `--warm: found "few", want a whole number of VMs`},
		{"--handover 0s", nil, "--handover: found 0s, want 1s to 1h"},
		{"--history web --trace x", nil, "--history and --trace: want one of them"},
	} {
		c, cmd := newSimulateCmd(&globals{}), &cobra.Command{}
		c.flags(cmd)
		if err := cmd.ParseFlags(strings.Fields(tt.line)); err != nil {
			t.Fatal(err)
		}
		err := c.validate()
		var usage usageError
		switch {
		case tt.wrong == "" && (err != nil || !slices.Equal(c.plan.Policies, tt.policies)):
			t.Errorf("%q: got %v, policies %v, want %v", tt.line, err, c.plan.Policies, tt.policies)
		case tt.wrong != "" && (!errors.As(err, &usage) || !strings.Contains(err.Error(), tt.wrong)):
			t.Errorf("%q: got %v, want a usage error with %q", tt.line, err, tt.wrong)
		}
	}
}
