package main

import "github.com/spf13/cobra"

func (a *app) workflowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "workflow",
		Short: "Definitions, and the workflows of a node",
		Args:  knownSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.workflowGraphCommand(),
		a.workflowSchemaCommand(),
	)
	cmd.AddCommand(a.nodeWorkflowCommands()...)
	return cmd
}
