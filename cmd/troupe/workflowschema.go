package main

import (
	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/workflow"
)

func (a *app) workflowSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of workflow definitions",
		Long: `Prints the JSON Schema (2020-12) of definitions, by which an editor completes
keys, explains them and underlines what is wrong. Write it to a file, and name
that in the first line of a definition:

  # yaml-language-server: $schema=workflow.schema.json`,
		Example: `  troupe workflow schema > workflow.schema.json`,
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			text, err := workflow.JSONSchema(node.NodeTypes())
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
}
