package main

import "github.com/spf13/cobra"

func (a *app) workflowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "workflow",
		Short: "Look at workflows and their definitions",
		Args:  knownSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.workflowGraphCommand(),
		a.workflowSchemaCommand(),
	)
	return cmd
}
