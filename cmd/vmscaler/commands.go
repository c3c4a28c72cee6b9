package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// commandGroup is what the help shows under one title.
type commandGroup struct {
	title    string
	commands []*cobra.Command
}

// setUpTitle is the title of what is there once.
const setUpTitle = "Set up and clean up"

// commandGroups are all commands but the hidden ones.
func commandGroups(g *globals) []commandGroup {
	return []commandGroup{
		{"Run", []*cobra.Command{
			runCommand(g), busCommand(g), stageCommand(g, app.StageCollector), stageCommand(g, app.StageDecider),
			stageCommand(g, app.StageActuator), agentCommand(g), webCommand(g), notifyCommand(g), dashboardCommand(g),
		}},
		{"See", []*cobra.Command{
			statusCommand(g), groupsCommand(g), vmsCommand(g), hostCommand(g), explainCommand(g), forecastCommand(g),
			eventsCommand(g), healthCommand(g), diffCommand(g), scheduleCommand(g), waitCommand(g),
		}},
		{"Change a group", []*cobra.Command{
			scaleCommand(g), launchCommand(g), applyCommand(g), setCommand(g), resetCommand(g), pauseCommand(g), resumeCommand(g),
			dryRunCommand(g), wakeCommand(g), refreshCommand(g), metricCommand(g), simulateCommand(g),
		}},
		{"Change a VM, or use it", []*cobra.Command{
			replaceCommand(g), removeCommand(g), drainCommand(g), standbyCommand(g), detachCommand(g), attachCommand(g),
			unhealthyCommand(g), protectCommand(g), hookCommand(g), consoleCommand(g), execCommand(g), sshCommand(g), loadCommand(g),
		}},
		{setUpTitle, []*cobra.Command{
			setupCommand(g), checkCommand(g), configCommand(g), contextCommand(g), templateCommand(g), demoCommand(g), downCommand(g),
			sweepCommand(g), volumeCommand(g), versionCommand(),
		}},
	}
}

func versionCommand() *cobra.Command {
	output := &printer.Output{}
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  vmscaler version\n  vmscaler version -o json",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !output.ForPeople() {
				return printer.Value(cmd.OutOrStdout(), output, map[string]string{"version": version})
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "vmscaler version %s\n", version)
			return err
		},
	}
	output.Add(cmd.Flags(), printer.Values())
	return cmd
}
