package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/workflow"
)

// A graphFormat is a value of -o of `workflow graph`.
type graphFormat string

const (
	graphSVG     graphFormat = "svg"
	graphMermaid graphFormat = "mermaid"
)

// String, Set and Type make graphFormat a flag.
func (f *graphFormat) String() string { return string(*f) }

// Set takes svg or mermaid.
func (f *graphFormat) Set(text string) error {
	switch graphFormat(text) {
	case graphSVG, graphMermaid:
		*f = graphFormat(text)
		return nil
	default:
		return errors.New("want svg or mermaid")
	}
}

// Type names the values in help texts.
func (f *graphFormat) Type() string { return "svg|mermaid" }

func (a *app) workflowGraphCommand() *cobra.Command {
	format := graphSVG
	inputs := inputFlags{}
	cmd := &cobra.Command{
		Use:   "graph FILE",
		Short: "Draw the graph of a workflow definition",
		Long: `Draws the graph of a definition, as an SVG picture or as text for Mermaid.
Solid lines are ways of rows, broken ones say what runs after what. The
definition is checked first. Inputs without a default need no value.`,
		Example: `  troupe workflow graph weather.yaml > weather.svg
  troupe workflow graph weather.yaml -o mermaid`,
		Args: fileArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			options := workflow.LoadOptions{Registry: node.NodeTypes(), Inputs: inputs, Open: true}
			definition, err := loadWith(args[0], options)
			if err != nil {
				return err
			}
			if format == graphMermaid {
				_, err = io.WriteString(a.stdout, definition.Mermaid())
				return err
			}
			picture, err := definition.SVG()
			if err != nil {
				return &exitError{exitInvalid, err}
			}
			_, err = a.stdout.Write(picture)
			return err
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "what to draw")
	inputs.register(cmd)
	return cmd
}
