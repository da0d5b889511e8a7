package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/fault"
)

// nodeTopic explains how a command finds the node whose workflows it is about.
const nodeTopic = `The command goes through the API of a running node, which it finds by the data
directory of the configuration. --node names a node anywhere, --set
http.token=env:NAME is what it asks for.`

// withNode gives a command the node that it talks to.
func (r *reachFlags) withNode(a *app, do func(ctx context.Context, c *console.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, restore := a.interruptible(cmd.Context())
		defer restore()
		found, err := r.reach(a)
		if err != nil {
			return err
		}
		if found.client == nil {
			return &exitError{exitEnvironment, &fault.Error{
				Code: fault.Unavailable, Target: found.settings.Config.DataDir, Message: "no node runs with this data directory",
				Hint: "start one with troupe dev, or name one with --node",
			}}
		}
		err = do(ctx, found.client, args)
		if cause := context.Cause(ctx); err != nil && errors.Is(cause, errInterrupted) {
			return fmt.Errorf("%w: %w", cause, err)
		}
		return err
	}
}

// atNode makes a command that talks to a node. Names are those of its arguments.
func (a *app) atNode(cmd *cobra.Command, names []string, do func(ctx context.Context, c *console.Client, args []string) error) *cobra.Command {
	reach := &reachFlags{}
	if cmd.Long == "" {
		cmd.Long = cmd.Short + "."
	}
	cmd.Long += "\n\n" + nodeTopic
	cmd.Args = named(names...)
	cmd.RunE = reach.withNode(a, do)
	reach.register(cmd)
	return cmd
}

// named checks that there is one argument for each name.
func named(names ...string) cobra.PositionalArgs {
	if len(names) == 0 {
		return noArguments
	}
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		want := strings.Join(names, " and ")
		return usageError("%s needs %s, got %s; see %s --help", cmd.CommandPath(), want, counted(len(args), "argument", "arguments"), cmd.CommandPath())
	}
}

// pageFlags are those of a list.
type pageFlags struct {
	limit  int
	cursor string
}

func (f *pageFlags) register(cmd *cobra.Command, what string, def int) {
	cmd.Flags().IntVar(&f.limit, "limit", def, fmt.Sprintf("%s at most, up to %d", what, console.RunsMax))
	cmd.Flags().StringVar(&f.cursor, "cursor", "", "where the page begins, as the page before says")
}

// printNext says how to get the next page.
func (a *app) printNext(next string) error {
	if next == "" {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "\nthe next page: --cursor %s\n", next)
	return err
}

// print writes an answer as JSON, or as a table.
func (a *app) print(v any, table func() error) error {
	if a.output == outputJSON {
		return a.printJSON(v)
	}
	return table()
}

// clock is a time for a table, in the zone of who reads it.
func clock(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Local().Format(time.DateTime)
}

// span is how long something took, or has taken.
func span(from, to time.Time) string {
	if from.IsZero() {
		return "-"
	}
	if to.IsZero() {
		to = time.Now()
	}
	return shortly(to.Sub(from))
}

// shortly is a duration in three or four digits.
func shortly(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
