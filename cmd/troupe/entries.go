package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/console"
)

// Schedules and triggers are kept by their names, paused, resumed and removed in
// the same way. An entry is either of them.

// deleteCommand removes an entry.
func (a *app) deleteCommand(what, argument, example string, remove func(*console.Client, context.Context, string) error) *cobra.Command {
	return a.atNode(&cobra.Command{
		Use: "delete NAME", Short: "Remove a " + what + "; its runs go on", Example: "  troupe " + what + " delete " + example,
	}, []string{argument}, func(ctx context.Context, c *console.Client, args []string) error {
		if err := remove(c, ctx, args[0]); err != nil {
			return err
		}
		return a.print(map[string]string{"deleted": args[0]}, func() error {
			_, err := fmt.Fprintf(a.stdout, "%s %s deleted\n", what, args[0])
			return err
		})
	})
}

// pauseCommand begins or ends a pause of an entry, and shows it.
func pauseCommand[T any](
	a *app, what, argument, example string, pause bool,
	do func(c *console.Client, ctx context.Context, name, comment string, pause bool) (T, error), show func(T, error) error,
) *cobra.Command {
	verb, short := "resume", "End a pause of a "+what
	if pause {
		verb, short = "pause", "Keep a "+what+" from starting runs"
	}
	var comment string
	cmd := a.atNode(&cobra.Command{
		Use: verb + " NAME", Short: short, Example: "  troupe " + what + " " + verb + " " + example + ` --comment "holidays"`,
	}, []string{argument}, func(ctx context.Context, c *console.Client, args []string) error {
		return show(do(c, ctx, args[0], comment, pause))
	})
	cmd.Flags().StringVar(&comment, "comment", "", "why; default the comment stays")
	return cmd
}
