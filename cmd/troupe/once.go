package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/examples/weather"
	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/workflow"
)

// onceTimeout bounds `dev --once` as a whole, the stopping of the node aside.
const onceTimeout = 60 * time.Second

// stopMargin is how long --once waits for the node beyond the node's own
// shutdown timeout.
const stopMargin = time.Second

// A onceReport is what `dev --once -o json` prints: what happened, and which
// checks of it passed.
type onceReport struct {
	OK         bool        `json:"ok"`
	Workflow   string      `json:"workflow"`
	Run        string      `json:"run"`
	RowsIn     int64       `json:"rows_in"`        // read by the sources, good or bad
	Filtered   int64       `json:"rows_filtered"`  // dropped on purpose
	SetAside   int64       `json:"rows_set_aside"` // could not be processed
	Held       int64       `json:"rows_held"`      // taken up by aggregates
	RowsOut    int64       `json:"rows_out"`       // written, by all sinks together
	Restarts   int64       `json:"restarts"`       // of the child that was crashed on purpose
	DurationMS int64       `json:"duration_ms"`
	Checks     []onceCheck `json:"checks"`
}

// A onceCheck is one thing that was looked at.
type onceCheck struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// onceRun is one execution of the scenario.
type onceRun struct {
	report     onceReport
	node       *node.Node
	definition *workflow.Definition
	restarted  chan struct{} // gets a value when the demonstration child is restarted
	info       workflow.RunInfo
	quiet      *bytes.Buffer // takes the log; nil: it is printed as it comes. Read when the node has stopped
}

// devOnce runs the scenario of `troupe dev`, checks it and reports.
func (a *app) devOnce(ctx context.Context, flags *configFlags, settings *node.Settings, definition *workflow.Definition) error {
	flags.setDefault(settings, "http.port", func(c *node.Config) { c.HTTP.Port = 0 })
	flags.setDefault(settings, "demo.crash_every", func(c *node.Config) { c.Demo.CrashEvery = 0 }) // crashes on command
	flags.setDefault(settings, "demo.order_every", func(c *node.Config) { c.Demo.OrderEvery = 0 })
	o := &onceRun{definition: definition, restarted: make(chan struct{}, 1)}
	flags.setDefault(settings, "log.level", func(c *node.Config) {
		c.Log.Level = slog.LevelError
		o.quiet = &bytes.Buffer{} // things fail on purpose, which is worth reading only if a check fails
	})
	if settings.Origin("data_dir").Kind == node.FromDefault {
		dir, err := os.MkdirTemp("", "troupe-once-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // what is left is in the temporary directory
		settings.Config.DataDir = dir
	}
	err := o.execute(ctx, a, settings.Config)
	if o.quiet != nil && (err != nil || !o.report.OK) {
		_, _ = o.quiet.WriteTo(a.stderr) // the report follows in any case
	}
	if err != nil {
		return err
	}
	if err := a.printOnce(o.report); err != nil {
		return err
	}
	if !o.report.OK {
		return &exitError{exitFailed, errReported}
	}
	return nil
}

// execute starts the node, makes all checks and stops the node. Its error is
// what kept the scenario from being played at all.
func (o *onceRun) execute(ctx context.Context, a *app, config node.Config) error {
	start := time.Now()
	options := node.Options{Workflow: o.definition, WorkflowFiles: weather.Files(), Hooks: []actor.Hooks{{Restarted: o.onRestart}}}
	if o.quiet != nil {
		options.Log = o.quiet
	}
	n, err := a.startNode(ctx, config, options)
	if err != nil {
		return err
	}
	o.node = n
	limited, cancel := context.WithTimeout(ctx, onceTimeout)
	defer cancel()
	o.runChecks(limited)
	stopCtx, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), config.ShutdownTimeout+stopMargin)
	defer cancelStop()
	stopping := time.Now()
	err = n.Stop(stopCtx)
	o.record("the node stops", err, "in %s", time.Since(stopping).Round(time.Millisecond))
	o.report.DurationMS = time.Since(start).Milliseconds()
	o.report.OK = !slices.ContainsFunc(o.report.Checks, func(c onceCheck) bool { return !c.OK })
	if cause := context.Cause(ctx); errors.Is(cause, errInterrupted) {
		return cause
	}
	return nil
}

// onRestart notices restarts of the demonstration child.
func (o *onceRun) onRestart(who actor.Address, _ int, _ error) {
	if who.Path != node.DemoChild {
		return
	}
	select {
	case o.restarted <- struct{}{}:
	default:
	}
}

// record adds a check. A nil error passes; the detail is then as formatted.
func (o *onceRun) record(name string, err error, format string, args ...any) {
	c := onceCheck{Name: name, OK: err == nil, Detail: fmt.Sprintf(format, args...)}
	if err != nil {
		c.Detail = err.Error()
	}
	o.report.Checks = append(o.report.Checks, c)
}

// runChecks plays the scenario.
func (o *onceRun) runChecks(ctx context.Context) {
	if err := o.runWorkflow(ctx); err != nil {
		o.record("the workflow completes", err, "")
		return
	}
	o.record("the workflow completes", nil, "%s", summary(o.info))
	err := checkAccounts(o.definition, o.info)
	o.record("every row is accounted for", err, "%d in, %d filtered, %d set aside, %d held, %d out",
		o.report.RowsIn, o.report.Filtered, o.report.SetAside, o.report.Held, o.report.RowsOut)
	err = checkRejects(o.info)
	o.record("rows that were set aside say where and why", err, "%d", o.info.RejectedTotal)
	detail, err := o.checkSinks(ctx)
	o.record("sinks hold the same rows", err, "%s", detail)
	detail, err = o.checkRestart(ctx)
	o.record("a crashed child is restarted", err, "%s", detail)
	detail, err = o.checkDurable(ctx)
	o.record("what cannot be handled is mended and redriven", err, "%s", detail)
	o.checkEndpoints(ctx)
}

// runWorkflow runs the workflow and takes over its figures.
func (o *onceRun) runWorkflow(ctx context.Context) error {
	id, err := o.node.Runs().Start(ctx)
	if err != nil {
		return err
	}
	o.info, err = o.node.Runs().Wait(ctx, id)
	r := &o.report
	r.Workflow, r.Run = o.info.Workflow, o.info.ID
	r.RowsIn, r.RowsOut, r.SetAside = o.info.RowsIn(), o.info.RowsOut(), o.info.RejectedTotal
	for _, n := range o.info.Nodes {
		r.Filtered += n.Filtered
		r.Held += n.Held
	}
	return err
}

// checkRestart crashes the demonstration child and waits for it to come back.
func (o *onceRun) checkRestart(ctx context.Context) (string, error) {
	crashed := time.Now()
	if err := o.node.CrashDemo(); err != nil {
		return "", err
	}
	select {
	case <-o.restarted:
	case <-ctx.Done():
		return "", fmt.Errorf("%s was not restarted: %w", node.DemoChild, ctx.Err())
	}
	took := time.Since(crashed)
	child, ok := findActor(o.node.System().Tree(), node.DemoChild)
	if !ok {
		return "", fmt.Errorf("%s is no longer in the tree", node.DemoChild)
	}
	o.report.Restarts = int64(min(child.Restarts, math.MaxInt64))
	if child.Restarts < 1 || child.Failures < 1 || child.LastError == "" {
		return "", fmt.Errorf("%s shows %d restarts, %d failures and the error %q", child.Path, child.Restarts, child.Failures, child.LastError)
	}
	return fmt.Sprintf("%s after %s: %s", child.Path, took.Round(10*time.Microsecond), child.LastError), nil
}

// findActor finds an actor in a snapshot.
func findActor(in actor.Info, path string) (actor.Info, bool) {
	if in.Path == path {
		return in, true
	}
	for _, child := range in.Children {
		if found, ok := findActor(child, path); ok {
			return found, true
		}
	}
	return actor.Info{}, false
}

// printOnce prints the report.
func (a *app) printOnce(r onceReport) error {
	if a.output == outputJSON {
		return a.printJSON(r)
	}
	rows := make([][]string, len(r.Checks))
	for i, c := range r.Checks {
		verdict := "ok"
		if !c.OK {
			verdict = "FAIL"
		}
		rows[i] = []string{verdict, c.Name, c.Detail}
	}
	if err := a.printTable(nil, rows); err != nil {
		return err
	}
	verdict := "all of it works"
	if !r.OK {
		verdict = "something does not work"
	}
	_, err := fmt.Fprintf(a.stdout, "\n%s: %s rows in, %s out, %s set aside, %s, %d ms\n", verdict,
		grouped(r.RowsIn), grouped(r.RowsOut), grouped(r.SetAside), counted(r.Restarts, "restart", "restarts"), r.DurationMS)
	return err
}
