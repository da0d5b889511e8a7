package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// scheduleName is the argument that names a schedule.
const scheduleName = "the NAME of a schedule"

func (a *app) scheduleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "Have workflows run by the clock",
		Long: `A schedule starts runs of a workflow by a cron expression, at a fixed rate, with a
fixed delay between runs, or once. What is due is started once, whatever dies.

  troupe schedule list                what there is
  troupe schedule put NAME …          make one, or change it
  troupe schedule pause NAME          nothing is started; resume ends it
  troupe schedule run NAME            start a run now
  troupe schedule backfill NAME …     start runs for a time that is past

` + nodeTopic,
		Args: knownSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.scheduleListCommand(), a.scheduleShowCommand(), a.schedulePutCommand(), a.scheduleRunCommand(), a.scheduleBackfillCommand(),
		a.deleteCommand("schedule", scheduleName, "nightly", (*console.Client).DeleteSchedule),
		pauseCommand(a, "schedule", scheduleName, "nightly", true, (*console.Client).PauseSchedule, a.printScheduleInfo),
		pauseCommand(a, "schedule", scheduleName, "nightly", false, (*console.Client).PauseSchedule, a.printScheduleInfo))
	return cmd
}

func (a *app) scheduleListCommand() *cobra.Command {
	var page pageFlags
	var of string
	cmd := a.atNode(&cobra.Command{
		Use: "list", Short: "List the schedules, by name",
		Example: `  troupe schedule list
  troupe schedule list --workflow orders -o json`,
	}, nil, func(ctx context.Context, c *console.Client, _ []string) error {
		list, err := c.Schedules(ctx, of, page.limit, page.cursor)
		if err != nil {
			return err
		}
		return a.print(list, func() error { return a.printSchedules(list) })
	})
	cmd.Flags().StringVar(&of, "workflow", "", "of this workflow")
	page.register(cmd, "schedules", 100)
	return cmd
}

// printScheduleInfo prints a schedule as it is now.
func (a *app) printScheduleInfo(s workflow.ScheduleInfo, err error) error {
	if err != nil {
		return err
	}
	return a.print(s, func() error { return a.printSchedule(&s) })
}

func (a *app) scheduleShowCommand() *cobra.Command {
	return a.atNode(&cobra.Command{
		Use: "show NAME", Short: "Show a schedule, its next instants and its last runs", Example: `  troupe schedule show nightly`,
	}, []string{scheduleName}, func(ctx context.Context, c *console.Client, args []string) error {
		return a.printScheduleInfo(c.Schedule(ctx, args[0]))
	})
}

func (a *app) schedulePutCommand() *cobra.Command {
	var s workflow.Schedule
	var every, delay, jitter, catchUp time.Duration
	var at, start, end, overlap, document string
	inputs := inputFlags{}
	cmd := a.atNode(&cobra.Command{
		Use:     "put NAME",
		Aliases: []string{"create"},
		Short:   "Make a schedule, or change it",
		Long: `Makes the schedule NAME, or gives the one of that name other settings. With --json,
all settings come from a JSON document, as show -o json prints them; otherwise one
of --cron, --every, --delay and --at says when.`,
		Example: `  troupe schedule put nightly --workflow report --cron "0 3 * * *" --time-zone Europe/Berlin
  troupe schedule put poll --workflow sync --delay 30s --catch-up 10m
  troupe schedule put once --workflow import --at 2026-12-31T23:00:00Z --input 'day=${{ schedule.date }}'
  troupe schedule put nightly --json @nightly.json`,
	}, []string{scheduleName}, func(ctx context.Context, c *console.Client, args []string) error {
		if document != "" {
			text, err := readArgument(document)
			if err != nil {
				return err
			}
			var known workflow.ScheduleInfo // what show prints is taken as it is
			if err := json.Unmarshal(text, &known); err != nil {
				return usageError("--json: want a schedule as JSON: %v", err)
			}
			s = known.Schedule
		} else {
			s.Every, s.Delay, s.Jitter, s.CatchUp = workflow.Duration(every), workflow.Duration(delay), workflow.Duration(jitter), workflow.Duration(catchUp)
			s.Overlap, s.Inputs = workflow.Overlap(overlap), inputs
			for _, one := range []struct {
				flag, text string
				into       *time.Time
			}{{"--at", at, &s.At}, {"--start", start, &s.Start}, {"--end", end, &s.End}} {
				var err error
				if *one.into, err = instant(one.flag, one.text); err != nil {
					return err
				}
			}
		}
		s.Name = args[0]
		return a.printScheduleInfo(c.PutSchedule(ctx, s, 0))
	})
	flags := cmd.Flags()
	flags.StringVar(&document, "json", "", "the schedule as JSON; @FILE, @- for standard input")
	flags.StringVar(&s.Workflow, "workflow", "", "what runs")
	flags.Int64Var(&s.Version, "version", 0, "the version that runs; 0 is the active one")
	flags.StringVar(&s.Cron, "cron", "", "a cron expression of 5 fields, or 6 with the second in front")
	flags.StringVar(&s.TimeZone, "time-zone", "", "of the cron expression, such as Europe/Berlin; default UTC")
	flags.DurationVar(&every, "every", 0, "interval between starts, whatever the runs take")
	flags.DurationVar(&delay, "delay", 0, "time from the end of a run to the next one")
	flags.StringVar(&at, "at", "", "one instant: 2026-12-31T23:00:00Z")
	flags.StringVar(&start, "start", "", "nothing before this time")
	flags.StringVar(&end, "end", "", "nothing after this time")
	flags.DurationVar(&jitter, "jitter", 0, "delay each start by a part of this")
	flags.DurationVar(&catchUp, "catch-up", 0, "how late something may be started; default 1m")
	flags.StringVar(&overlap, "overlap", "", "while a run is under way: skip, queue, allow or cancel_running; default skip")
	flags.IntVar(&s.QueueMax, "queue-max", 0, "how many starts may wait with --overlap queue; default 100")
	flags.StringVar(&s.Key, "key", "", "whose runs they are")
	flags.IntVar(&s.Priority, "priority", 0, "which runs go first where they compete: the higher number")
	flags.BoolVar(&s.Paused, "paused", false, "start nothing until it is resumed")
	flags.StringVar(&s.Comment, "comment", "", "what it is for")
	inputs.register(cmd)
	return cmd
}

// instant reads a time that is to come or past.
func instant(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usageError("%s: want a time such as 2026-05-01T12:00:00Z or 2026-05-01, got %q", flag, text)
}

func (a *app) scheduleRunCommand() *cobra.Command {
	var key string
	cmd := a.atNode(&cobra.Command{
		Use: "run NAME", Short: "Start a run of a schedule now", Long: "Starts a run of a schedule now, also while it is paused. Prints the ID of the run.",
		Example: `  troupe schedule run nightly`,
	}, []string{scheduleName}, func(ctx context.Context, c *console.Client, args []string) error {
		started, err := c.RunSchedule(ctx, args[0], key)
		if err != nil {
			return err
		}
		return a.printStarted(started)
	})
	cmd.Flags().StringVar(&key, "idempotency-key", "", "makes the command one that can be repeated")
	return cmd
}

func (a *app) scheduleBackfillCommand() *cobra.Command {
	var r console.BackfillRequest
	var from, to string
	cmd := a.atNode(&cobra.Command{
		Use: "backfill NAME", Short: "Start runs for a time that is past",
		Example: `  troupe schedule backfill nightly --from 2026-05-01 --to 2026-05-07 --max 10`,
	}, []string{scheduleName}, func(ctx context.Context, c *console.Client, args []string) error {
		if from == "" || to == "" {
			return usageError("troupe schedule backfill needs --from and --to")
		}
		var err error
		if r.From, err = instant("--from", from); err != nil {
			return err
		}
		if r.To, err = instant("--to", to); err != nil {
			return err
		}
		return a.printScheduleInfo(c.Backfill(ctx, args[0], r))
	})
	cmd.Flags().StringVar(&from, "from", "", "the first instant, or a `TIME` before it")
	cmd.Flags().StringVar(&to, "to", "", "the last instant, or a `TIME` behind it")
	cmd.Flags().IntVar(&r.Max, "max", 0, "instants at most; more are refused. Default 10,000")
	return cmd
}

// invalidAtNode gives what a node says of a definition the exit code that it has
// without a node.
func invalidAtNode(err error) error {
	if err != nil && errors.Is(err, fault.InvalidArgument) {
		return &exitError{exitInvalid, err}
	}
	return err
}
