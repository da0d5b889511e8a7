package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/workflow"
)

func (a *app) nodesCommand() *cobra.Command {
	return a.typesCommand("nodes", "node", "List the node types of workflows, or explain one", node.NodeTypes().Types)
}

func (a *app) triggerTypesCommand() *cobra.Command {
	return a.typesCommand("types", "trigger", "List the types of triggers, or explain one", node.NodeTypes().TriggerTypes)
}

// typesCommand lists types, or explains one of them.
func (a *app) typesCommand(use, what, short string, listed func() []workflow.TypeInfo) *cobra.Command {
	return &cobra.Command{
		Use:   use + " [TYPE]",
		Short: short,
		Args:  atMostOne("TYPE"),
		RunE: func(_ *cobra.Command, args []string) error {
			types := listed()
			if len(args) == 0 {
				return a.print(types, func() error { return a.printTypes(types) })
			}
			names := make([]string, len(types))
			for i, t := range types {
				if t.Name == args[0] {
					return a.print(t, func() error { return a.explainType(t) })
				}
				names[i] = t.Name
			}
			return unknownName(what+" type", args[0], names)
		},
	}
}

// printTypes prints one line for each type.
func (a *app) printTypes(types []workflow.TypeInfo) error {
	rows := make([][]string, len(types))
	for i, t := range types {
		rows[i] = []string{t.Name, string(t.Role), firstSentence(t.Doc)}
	}
	return a.printTable([]string{"TYPE", "ROLE", "WHAT"}, rows)
}

// explainType prints a type's keys and an example.
func (a *app) explainType(t workflow.TypeInfo) error {
	fmt.Fprintf(a.stdout, "%s (%s)\n\n%s\n", t.Name, t.Role, t.Doc)
	if len(t.Outputs) > 1 {
		fmt.Fprintf(a.stdout, "\nOutputs: %s\n", strings.Join(t.Outputs, ", "))
	}
	if rows := fieldRows("", t.Config); len(rows) > 0 {
		fmt.Fprintln(a.stdout)
		if err := a.printTable([]string{"KEY", "TYPE", "DEFAULT", "WHAT"}, rows); err != nil {
			return err
		}
	}
	if t.Example != "" {
		fmt.Fprintf(a.stdout, "\nExample:\n\n%s\n", indent(t.Example, "  "))
	}
	return nil
}

// fieldRows describes keys and, below each, the keys within it.
func fieldRows(prefix string, fields []workflow.Field) [][]string {
	var rows [][]string
	for _, f := range fields {
		standard := f.Default
		if f.Required {
			standard = "required"
		}
		if standard == "" {
			standard = "-"
		}
		rows = append(rows, []string{prefix + f.Name, f.Type, standard, f.Doc})
		rows = append(rows, fieldRows(prefix+f.Name+".", f.Fields)...)
	}
	return rows
}

// firstSentence cuts a text after its first sentence.
func firstSentence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if first, _, more := strings.Cut(text, ". "); more {
		return first + "."
	}
	return text
}

// indent puts a prefix before every line that is not empty.
func indent(text, prefix string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = prefix + line
		}
	}
	return strings.Join(lines, "\n")
}
