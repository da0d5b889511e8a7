package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/workflow"
)

// inputFlags collects --input NAME=VALUE.
type inputFlags map[string]string

// String returns the default, which there is none of.
func (f inputFlags) String() string { return "" }

// Set takes NAME=VALUE.
func (f inputFlags) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return errors.New("want NAME=VALUE")
	}
	if _, twice := f[name]; twice {
		return fmt.Errorf("%s is given twice", name)
	}
	f[name] = value
	return nil
}

// Type names the value in help texts.
func (f inputFlags) Type() string { return "NAME=VALUE" }

// register adds --input.
func (f inputFlags) register(cmd *cobra.Command) {
	cmd.Flags().Var(f, "input", "value of an input of the definition; may be repeated")
}

// loadDefinition reads and validates a definition. A file that cannot be read
// is the environment's fault, whatever else is wrong is the definition's.
func loadDefinition(file string, inputs inputFlags) (*workflow.Definition, error) {
	return loadWith(file, workflow.LoadOptions{Registry: node.NodeTypes(), Inputs: inputs})
}

func loadWith(file string, options workflow.LoadOptions) (*workflow.Definition, error) {
	definition, err := workflow.LoadFile(file, options)
	if err == nil {
		return definition, nil
	}
	if _, invalid := errors.AsType[workflow.Problems](err); invalid {
		return nil, &exitError{exitInvalid, err}
	}
	return nil, &exitError{exitEnvironment, err}
}

// A validation is what `validate -o json` prints for one file.
type validation struct {
	File     string            `json:"file"`
	OK       bool              `json:"ok"`
	Name     string            `json:"name,omitempty"`
	Nodes    int               `json:"nodes"`
	Edges    int               `json:"edges"`
	Error    string            `json:"error,omitempty"` // why the file cannot be read
	Problems workflow.Problems `json:"problems"`
}

func (a *app) validateCommand() *cobra.Command {
	inputs := inputFlags{}
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check workflow definitions without running them",
		Long: `Checks definitions: their keys, node types, graph, expressions, and the columns
that flow along every edge. Each mistake is a line with its place, what was
expected, and a suggestion. Nothing is run or written.`,
		Args: fileArgs(-1),
		RunE: func(_ *cobra.Command, args []string) error {
			worst := exitOK
			reports := make([]validation, 0, len(args))
			for _, file := range args {
				report, err := validate(file, inputs)
				reports = append(reports, report)
				worst = max(worst, codeOf(err))
				if a.output == outputJSON {
					continue
				}
				if err != nil {
					a.printError(err)
					continue
				}
				if _, err := fmt.Fprintf(a.stdout, "%s: ok: %s, %s, %s\n", file, report.Name,
					counted(report.Nodes, "node", "nodes"), counted(report.Edges, "edge", "edges")); err != nil {
					return err
				}
			}
			if a.output == outputJSON {
				if err := a.printJSON(reports); err != nil {
					return err
				}
			}
			if worst != exitOK {
				return &exitError{worst, errReported}
			}
			return nil
		},
	}
	inputs.register(cmd)
	return cmd
}

// validate checks one file.
func validate(file string, inputs inputFlags) (validation, error) {
	report := validation{File: file, Problems: workflow.Problems{}}
	definition, err := loadDefinition(file, inputs)
	if err != nil {
		if !errors.As(err, &report.Problems) {
			report.Error = err.Error()
		}
		return report, err
	}
	report.OK, report.Name = true, definition.Name
	report.Nodes, report.Edges = len(definition.Nodes), len(definition.Edges)
	return report, nil
}

// atMostOne refuses more than one argument.
func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError("%s takes at most 1 %s, got %d", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}
