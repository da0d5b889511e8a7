package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/workflow"
)

// runID is the argument that names a run.
const runID = "the ID of a run"

// runsCommands are the commands about runs of a node, below troupe run.
func (a *app) runsCommands() []*cobra.Command {
	return []*cobra.Command{
		a.runListCommand(), a.runShowCommand(), a.runHistoryCommand(), a.runTimelineCommand(), a.runLogsCommand(), a.runWatchCommand(),
		a.runResultCommand(),
		a.runVerbCommand(console.RunCancel, "End a run", "Ends a run: what is under way is interrupted, what was done is undone as far as the\ndefinition says how."),
		a.runVerbCommand(console.RunPause, "Keep a run from beginning anything new", ""),
		a.runVerbCommand(console.RunResume, "End a pause", ""),
		a.runVerbCommand(console.RunRetry, "Let a run that failed or was cancelled go on", "Runs the nodes that failed or were cancelled again, with what depends on them. What\nwas completed is not run again."),
		a.runRerunCommand(), a.runSignalCommand(), a.runApproveCommand(),
	}
}

// fileOrCommand checks the argument of troupe run: what is no file, and close to
// the name of a command below, is taken for a mistake in that.
func fileOrCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && !strings.ContainsAny(args[0], `./\`) {
		if _, err := os.Stat(args[0]); errors.Is(err, os.ErrNotExist) {
			if _, ok := suggest.Closest(args[0], subcommandNames(cmd)); ok {
				return unknownName("command", args[0], subcommandNames(cmd))
			}
		}
	}
	return fileArgs(1)(cmd, args)
}

func (a *app) runListCommand() *cobra.Command {
	var q console.RunListQuery
	var page pageFlags
	var states []string
	var since, before string
	cmd := a.atNode(&cobra.Command{
		Use:   "list",
		Short: "List the runs of a node, the newest first",
		Example: `  troupe run list
  troupe run list --workflow orders --state failed,cancelled --since 24h
  troupe run list --key acme -o json`,
	}, nil, func(ctx context.Context, c *console.Client, _ []string) error {
		var err error
		if q.Since, err = pointInTime("--since", since); err != nil {
			return err
		}
		if q.Before, err = pointInTime("--before", before); err != nil {
			return err
		}
		for _, s := range states {
			q.States = append(q.States, workflow.State(s))
		}
		q.Limit, q.Cursor = page.limit, page.cursor
		list, err := c.Runs(ctx, q)
		if err != nil {
			return err
		}
		return a.print(list, func() error { return a.printRuns(list) })
	})
	flags := cmd.Flags()
	flags.StringVar(&q.Workflow, "workflow", "", "of this workflow")
	flags.StringSliceVar(&states, "state", nil, "in one of these states: running, paused, stopping, completed, failed, cancelled")
	flags.StringVar(&q.Key, "key", "", "with this key")
	flags.StringVar(&q.Trigger, "trigger", "", "started by this: manual, api, schedule/NAME, trigger/NAME")
	flags.StringVar(&q.Parent, "parent", "", "part of this run")
	flags.StringVar(&since, "since", "", "started at or after: 2026-05-01T12:00:00Z, or 2h for two hours ago")
	flags.StringVar(&before, "before", "", "started before")
	page.register(cmd, "runs", console.RunsDefault)
	return cmd
}

func (a *app) runShowCommand() *cobra.Command {
	return a.atNode(&cobra.Command{
		Use:     "show ID",
		Short:   "Show a run with its nodes",
		Example: `  troupe run show 0197c0de-0000-7000-8000-000000000000`,
	}, []string{runID}, func(ctx context.Context, c *console.Client, args []string) error {
		view, err := c.Run(ctx, args[0])
		if err != nil {
			return err
		}
		return a.print(view.Run, func() error { return a.printRunInfo(&view.Run) })
	})
}

func (a *app) runHistoryCommand() *cobra.Command {
	var q console.HistoryQuery
	cmd := a.atNode(&cobra.Command{
		Use:   "history ID",
		Short: "Show what happened in a run, event by event",
		Example: `  troupe run history ID
  troupe run history ID --step load --type NodeFailed
  troupe run history ID --after 200 -o json`,
	}, []string{runID}, func(ctx context.Context, c *console.Client, args []string) error {
		page, err := c.History(ctx, args[0], q)
		if err != nil {
			return err
		}
		return a.print(page, func() error { return a.printHistory(page) })
	})
	flags := cmd.Flags()
	flags.Int64Var(&q.After, "after", 0, "only events behind this `NUMBER`")
	flags.IntVar(&q.Limit, "limit", console.EventsPage, fmt.Sprintf("events at most, up to %d", console.EventsPageMax))
	flags.StringVar(&q.Node, "step", "", "only events of this `NODE` of the workflow, of all its iterations")
	flags.StringVar((*string)(&q.Type), "type", "", "only events of this type, such as NodeFailed")
	return cmd
}

func (a *app) runTimelineCommand() *cobra.Command {
	var after int64
	var limit int
	cmd := a.atNode(&cobra.Command{
		Use:     "timeline ID",
		Short:   "Show what ran when in a run, attempt by attempt",
		Example: `  troupe run timeline ID`,
	}, []string{runID}, func(ctx context.Context, c *console.Client, args []string) error {
		line, err := c.Timeline(ctx, args[0], after, limit)
		if err != nil {
			return err
		}
		return a.print(line, func() error { return a.printTimeline(line) })
	})
	cmd.Flags().Int64Var(&after, "after", 0, "only what events behind this `NUMBER` tell")
	cmd.Flags().IntVar(&limit, "limit", console.TimelinePage, fmt.Sprintf("events to read at most, up to %d", console.TimelinePageMax))
	return cmd
}

// followEvery is how often a command that follows a run asks.
const followEvery = 500 * time.Millisecond

// follow does something again and again until it says that it is over.
func follow(ctx context.Context, do func() (over bool, err error)) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		over, err := do()
		if over || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *app) runLogsCommand() *cobra.Command {
	var q console.RunLogQuery
	var followed bool
	cmd := a.atNode(&cobra.Command{
		Use:   "logs ID",
		Short: "Show what the nodes of a run logged",
		Long:  "Shows what the nodes of a run logged. With -o json, each line is a JSON document.",
		Example: `  troupe run logs ID -f
  troupe run logs ID --level WARN --step load`,
	}, []string{runID}, func(ctx context.Context, c *console.Client, args []string) error {
		ended := false
		return follow(ctx, func() (bool, error) {
			log, err := c.Logs(ctx, args[0], q)
			if err != nil {
				return false, err
			}
			if err := a.printLog(log); err != nil {
				return false, err
			}
			more := len(log.Lines) == q.Limit && q.Tail == 0 && followed
			q.After, q.Tail = log.Next, 0
			if !followed || ended && !more {
				return true, nil
			}
			view, err := c.Run(ctx, args[0])
			ended = view.Run.State.Final() // what it logged last is there with the next look
			return false, err
		})
	})
	flags := cmd.Flags()
	flags.BoolVarP(&followed, "follow", "f", false, "go on until the run has ended")
	flags.Int64Var(&q.After, "after", 0, "only lines behind this `NUMBER`")
	flags.IntVar(&q.Tail, "tail", 0, "begin with the last lines, so many of them")
	flags.StringVar(&q.Level, "level", "", "the lowest level: DEBUG, INFO, WARN or ERROR")
	flags.StringVar(&q.Node, "step", "", "only this `NODE` of the workflow")
	flags.IntVar(&q.Limit, "limit", console.LinesPage, fmt.Sprintf("lines at most, up to %d; with -f, at a time", console.LinesPageMax))
	return cmd
}

func (a *app) runWatchCommand() *cobra.Command {
	return a.atNode(&cobra.Command{
		Use:   "watch ID",
		Short: "Follow a run until its end",
		Long: `Prints what happens in a run as it happens, and at its end how it ended. The exit
code is 0 if it is completed, and 1 if it failed or was cancelled.`,
		Example: `  troupe run watch ID
  troupe run watch "$(troupe workflow start orders -o json | jq -r .id)"`,
	}, []string{runID}, func(ctx context.Context, c *console.Client, args []string) error {
		return a.watchRun(ctx, c, args[0])
	})
}

// watchRun prints the events of a run until it has ended.
func (a *app) watchRun(ctx context.Context, c *console.Client, id string) error {
	after := int64(0)
	err := follow(ctx, func() (bool, error) {
		for {
			page, err := c.History(ctx, id, console.HistoryQuery{After: after, Limit: console.EventsPageMax})
			if err != nil {
				return false, err
			}
			for i := range page.Events {
				e := &page.Events[i]
				after = e.Seq
				if err := a.printEvent(e); err != nil {
					return false, err
				}
			}
			if page.Next == 0 {
				break
			}
		}
		view, err := c.Run(ctx, id)
		return view.Run.State.Final() && view.Run.Events <= after, err
	})
	if err != nil {
		return err
	}
	view, err := c.Run(ctx, id)
	if err != nil {
		return err
	}
	if view.Run.State == workflow.StateCompleted {
		return nil
	}
	return &exitError{exitFailed, fmt.Errorf("the run %s: %s", view.Run.State, view.Run.Error)}
}

func (a *app) runResultCommand() *cobra.Command {
	var sink string
	var limit, offset int
	cmd := a.atNode(&cobra.Command{
		Use:   "result ID",
		Short: "Show a table that a run wrote",
		Example: `  troupe run result ID
  troupe run result ID --sink file --limit 1000 -o json`,
	}, []string{runID}, func(ctx context.Context, c *console.Client, args []string) error {
		page, err := c.Result(ctx, args[0], sink, limit, offset)
		if err != nil {
			return err
		}
		return a.print(page, func() error { return a.printResult(page) })
	})
	cmd.Flags().StringVar(&sink, "sink", "", "the node that wrote it; default the one to show first")
	cmd.Flags().IntVar(&limit, "limit", console.RowsDefault, fmt.Sprintf("rows at most, up to %d", console.RowsMax))
	cmd.Flags().IntVar(&offset, "offset", 0, "rows to leave out")
	return cmd
}

// runVerbCommand is a command that does something to a run.
func (a *app) runVerbCommand(verb console.RunVerb, short, long string) *cobra.Command {
	var reason string
	cmd := a.atNode(&cobra.Command{
		Use: string(verb) + " ID", Short: short, Long: long,
		Example: "  troupe run " + string(verb) + " ID",
	}, []string{runID}, func(ctx context.Context, c *console.Client, args []string) error {
		state, err := c.ActOnRun(ctx, args[0], verb, reason)
		if err != nil {
			return err
		}
		return a.printState(state)
	})
	if verb == console.RunCancel {
		cmd.Example += ` --reason "wrong month"`
		cmd.Flags().StringVar(&reason, "reason", "", "why, for the history")
	}
	return cmd
}

func (a *app) runRerunCommand() *cobra.Command {
	var r console.RerunRequest
	var key string
	inputs := inputFlags{}
	cmd := a.atNode(&cobra.Command{
		Use:   "rerun ID",
		Short: "Repeat a run as a new one",
		Long: `Repeats a run as a new one, as a whole or from a node on: what does not depend on
that is taken over from the run. Prints the ID of the new run.`,
		Example: `  troupe run rerun ID
  troupe run rerun ID --from load --version 3`,
	}, []string{runID}, func(ctx context.Context, c *console.Client, args []string) error {
		r.Inputs = inputsOf(inputs)
		started, err := c.RerunRun(ctx, args[0], r, key)
		if err != nil {
			return err
		}
		return a.printStarted(started)
	})
	cmd.Flags().StringVar(&r.From, "from", "", "the `NODE` to begin with")
	cmd.Flags().Int64Var(&r.Version, "version", 0, "the version to run; 0 is that of the run")
	cmd.Flags().StringVar(&key, "idempotency-key", "", "makes the command one that can be repeated")
	inputs.register(cmd)
	return cmd
}

// inputsOf are inputs as the API takes them.
func inputsOf(inputs inputFlags) map[string]console.Input {
	if len(inputs) == 0 {
		return nil
	}
	out := make(map[string]console.Input, len(inputs))
	for name, value := range inputs {
		out[name] = console.Input(value)
	}
	return out
}

func (a *app) runSignalCommand() *cobra.Command {
	var payload, key string
	cmd := a.atNode(&cobra.Command{
		Use:   "signal ID NAME",
		Short: "Send a signal to a run",
		Long:  "Sends a signal to a run: the first node that waits for its name goes on. If none\ndoes, it is kept for one to come.",
		Example: `  troupe run signal ID paid
  troupe run signal ID paid --json '{"amount": 12}'`,
	}, []string{runID, "the name of a signal"}, func(ctx context.Context, c *console.Client, args []string) error {
		var text json.RawMessage
		if payload != "" {
			var err error
			if text, err = readArgument(payload); err != nil {
				return err
			}
			if !json.Valid(text) {
				return usageError("--json: want JSON, got %.60q", text)
			}
		}
		state, err := c.SignalRun(ctx, args[0], args[1], text, key)
		if err != nil {
			return err
		}
		return a.printState(state)
	})
	cmd.Flags().StringVar(&payload, "json", "", "what comes with it, as JSON; @FILE, @- for standard input")
	cmd.Flags().StringVar(&key, "idempotency-key", "", "a signal that is repeated with the same key has no effect")
	return cmd
}

func (a *app) runApproveCommand() *cobra.Command {
	var r console.ApprovalRequest
	var reject bool
	cmd := a.atNode(&cobra.Command{
		Use:   "approve ID NODE",
		Short: "Answer an approval that a run waits for",
		Example: `  troupe run approve ID sign --comment "checked"
  troupe run approve ID 'sign[3]' --reject`,
	}, []string{runID, "the approval, such as sign or sign[3]"}, func(ctx context.Context, c *console.Client, args []string) error {
		r.Approved = !reject
		state, err := c.ApproveRun(ctx, args[0], args[1], r)
		if err != nil {
			return err
		}
		return a.printState(state)
	})
	cmd.Flags().BoolVar(&reject, "reject", false, "say no")
	cmd.Flags().StringVar(&r.By, "by", os.Getenv("USER"), "who decides")
	cmd.Flags().StringVar(&r.Comment, "comment", "", "why")
	return cmd
}
