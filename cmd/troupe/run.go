package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/telemetry"
	"github.com/troupe-dev/troupe/workflow"
)

// rejectsShown is how many rows that were set aside are printed.
const rejectsShown = 10

func (a *app) runCommand() *cobra.Command {
	var config configFlags
	inputs := inputFlags{}
	var out string
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run one workflow to its end; look at the runs of a node",
		Long: `Runs the workflow that FILE defines, in this process. Paths of sources are relative to FILE,
paths of sinks to the output directory. Rows that cannot be processed are set
aside and reported; they do not fail the run. A run that fails or is
interrupted leaves no half-written output.

With -o json the one document on standard output is the state of the run at its
end, the same as the console's API gives.

The commands below are about the runs of a node. A file that is called like one of
them is ./list.`,
		Example: `  troupe run weather.yaml --out results
  troupe run list --state failed
  troupe run logs ID -f`,
		Args: fileOrCommand,
		RunE: func(cmd *cobra.Command, args []string) error {
			// First of all: reading a definition may block on a file it names.
			ctx, restore := a.interruptible(cmd.Context())
			defer restore()
			settings, err := config.load(a)
			if err != nil {
				return err
			}
			// Whatever goes wrong is this command's own error, so records would repeat it.
			config.setDefault(settings, "log.level", func(c *node.Config) { c.Log.Level = slog.LevelError })
			definition, err := loadDefinition(args[0], inputs)
			if err != nil {
				return err
			}
			return a.runWorkflow(ctx, settings.Config, definition, out)
		},
	}
	cmd.Flags().StringVar(&out, "out", ".", "output `DIR` of sinks with a relative path")
	inputs.register(cmd)
	config.register(cmd, "log.level", "shutdown_timeout")
	cmd.AddCommand(a.runsCommands()...)
	return cmd
}

// runWorkflow runs a definition in an actor system of its own and prints what
// became of it.
func (a *app) runWorkflow(ctx context.Context, config node.Config, definition *workflow.Definition, out string) (failure error) {
	line := newProgressLine(a.stderr)
	log := telemetry.NewLogger(line, config.Log.Level)
	// What the run does is recorded as in a node, but only for as long as it takes.
	dir, err := os.MkdirTemp("", "troupe-run-")
	if err != nil {
		return err
	}
	defer func() { failure = errors.Join(failure, os.RemoveAll(dir)) }()
	s, err := sqlite.Open(ctx, filepath.Join(dir, node.StoreFile), sqlite.Options{Logger: log})
	if err != nil {
		return err
	}
	defer func() { failure = errors.Join(failure, s.Close()) }()
	sys := actor.NewSystem(actor.Options{Name: config.Name, Logger: log, ShutdownTimeout: config.ShutdownTimeout})
	run, err := startRun(ctx, sys, s, definition, workflow.EngineOptions{Registry: node.NodeTypes(), OutputDir: out, Log: log})
	if err != nil {
		return errors.Join(err, sys.Stop(context.WithoutCancel(ctx)))
	}
	info, err := a.await(ctx, config.ShutdownTimeout, sys, run, line)
	if printed := a.printRun(info); printed != nil {
		return printed
	}
	if err == nil || context.Cause(ctx) == nil {
		return err
	}
	if info.State == workflow.StateCancelled {
		err = errors.New("interrupted: the run was cancelled and left no output")
	}
	return &exitError{exitInterrupted, err}
}

// startRun starts a run of a definition with an engine of its own.
func startRun(ctx context.Context, sys *actor.System, s store.Store, definition *workflow.Definition, options workflow.EngineOptions) (*workflow.Run, error) {
	options.ByHand = true
	engine, err := workflow.Open(ctx, sys, s, options)
	if err != nil {
		return nil, err
	}
	if _, err := engine.Deploy(ctx, definition, ""); err != nil {
		return nil, err
	}
	return engine.Start(ctx, definition.Name, workflow.StartOptions{Inputs: definition.Given()})
}

// await waits for the end of a run and of the system. Once ctx has ended, which
// cancels the run, it waits no longer than the shutdown timeout.
func (a *app) await(ctx context.Context, timeout time.Duration, sys *actor.System, run *workflow.Run, line *progressLine) (workflow.RunInfo, error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		line.follow(run)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if ctx.Err() != nil {
		_ = run.Cancel(stopCtx, "") // a run that ended at the same moment needs none
	}
	info, err := run.Wait(stopCtx)
	stopErr := sys.Stop(stopCtx)
	<-ended
	line.clear()
	if err == nil {
		err = stopErr
	}
	return info, err
}

// printRun prints the state of a run at its end.
func (a *app) printRun(info workflow.RunInfo) error {
	if a.output == outputJSON {
		return a.printJSON(info)
	}
	rows := make([][]string, len(info.Nodes))
	for i, n := range info.Nodes {
		rows[i] = []string{
			n.ID, n.Type, string(n.State), grouped(n.RowsIn), grouped(n.RowsOut), grouped(n.Rejected),
			n.Duration.Round(10 * time.Microsecond).String(),
		}
	}
	if err := a.printTable([]string{"NODE", "TYPE", "STATE", "IN", "OUT", "SET ASIDE", "TIME"}, rows); err != nil {
		return err
	}
	a.printRejects(info)
	if info.State == workflow.StateCompleted {
		for _, n := range info.Nodes {
			if n.Artifact == nil {
				continue
			}
			where := n.Artifact.Path
			if n.Artifact.Table != "" {
				where += ", table " + n.Artifact.Table
			}
			fmt.Fprintf(a.stdout, "\n%s: %s", n.ID, where)
		}
		fmt.Fprintln(a.stdout)
	}
	if len(info.Output) > 0 {
		fmt.Fprintf(a.stdout, "\noutput: %s\n", info.Output)
	}
	_, err := fmt.Fprintf(a.stdout, "\n%s\n", summary(info))
	return err
}

// printRejects prints the first rows that were set aside.
func (a *app) printRejects(info workflow.RunInfo) {
	if len(info.Rejects) == 0 {
		return
	}
	fmt.Fprintf(a.stdout, "\nset aside%s:\n", in(info.RejectsFile))
	for _, r := range info.Rejects[:min(len(info.Rejects), rejectsShown)] {
		where := r.File
		if r.Line > 0 {
			where += ":" + strconv.Itoa(r.Line)
		}
		if where == "" {
			where = r.Node
		}
		if r.Column != "" {
			where += ": " + r.Column
		}
		fmt.Fprintf(a.stdout, "  %s: %s\n", where, r.Reason)
	}
	if more := info.RejectedTotal - int64(min(len(info.Rejects), rejectsShown)); more > 0 {
		fmt.Fprintf(a.stdout, "  and %s more\n", grouped(more))
	}
}

// in names a file, if there is one.
func in(file string) string {
	if file == "" {
		return ""
	}
	return ", all of it in " + file
}

// summary is a finished run in one line.
func summary(info workflow.RunInfo) string {
	return fmt.Sprintf("%s %s in %s: %s rows in, %s out, %s set aside", info.Workflow, info.State,
		info.Finished.Sub(info.Started).Round(time.Millisecond), grouped(info.RowsIn()), grouped(info.RowsOut()), grouped(info.RejectedTotal))
}
