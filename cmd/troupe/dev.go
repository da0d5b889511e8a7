package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/examples/weather"
	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/workflow"
)

func (a *app) devCommand() *cobra.Command {
	var config configFlags
	inputs := inputFlags{}
	var once bool
	cmd := &cobra.Command{
		Use:   "dev [FILE]",
		Short: "Run a node with a console, a workflow and a demonstration",
		Long: `Starts a node on this machine, prints the address of its console, and runs the
workflow in FILE, or the weather example that is part of this program. Beside it
runs a small tree of actors, one of which crashes on purpose and is restarted, and
a shop whose orders and accounts are durable: kill the node, start it again in the
same directory, and it goes on. Now and then an order cannot be handled and becomes
a dead letter: see troupe dlq list, or the console.

What the node writes goes below the data directory, ./troupe-data by default: its
store, troupe.db, and the output of each run in runs/, the last 1,000 of them. Log
records go to standard error as JSON. Ctrl-C stops the node gracefully, a second one
at once.

With --once the node uses a free port and a temporary directory, checks that all
of it works, prints what it found, and exits with 0 or 1.`,
		Args: atMostOne("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, restore := a.interruptible(cmd.Context())
			defer restore()
			settings, err := config.load(a)
			if err != nil {
				return err
			}
			definition, err := devDefinition(args, inputs)
			if err != nil {
				return err
			}
			if once {
				return a.devOnce(ctx, &config, settings, definition)
			}
			return a.dev(ctx, settings.Config, definition)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "check everything once and exit with 0 or 1")
	inputs.register(cmd)
	config.register(cmd)
	return cmd
}

// devDefinition reads the definition to run: the file, or the example that is
// embedded in the program.
func devDefinition(args []string, inputs inputFlags) (*workflow.Definition, error) {
	if len(args) > 0 {
		return loadDefinition(args[0], inputs)
	}
	definition, err := workflow.LoadFS(weather.Files(), weather.Definition, workflow.LoadOptions{Registry: node.NodeTypes(), Inputs: inputs})
	if err != nil {
		return nil, &exitError{exitInvalid, err}
	}
	return definition, nil
}

// startNode starts a node that runs the definition and the demonstration.
func (a *app) startNode(ctx context.Context, config node.Config, options node.Options) (*node.Node, error) {
	options.Demo, options.Env, options.Version = true, a.env, readBuildInfo().Version
	if options.Log == nil {
		options.Log = a.stderr
	}
	n, err := node.New(config, options)
	if err != nil {
		return nil, err
	}
	if err := n.Start(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// dev serves until it is told to stop.
func (a *app) dev(ctx context.Context, config node.Config, definition *workflow.Definition) error {
	n, err := a.startNode(ctx, config, node.Options{Workflow: definition, WorkflowFiles: weather.Files()})
	if err != nil {
		return err
	}
	a.announce(n, config, definition)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		a.runAndReport(ctx, n)
	}()
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-n.Failed():
	}
	stopped := n.Stop(context.WithoutCancel(ctx))
	<-followed
	if stopped != nil {
		stopped = fmt.Errorf("the node did not stop within %s: %w", config.ShutdownTimeout, stopped)
	}
	if err := errors.Join(failure, stopped); err != nil {
		return &exitError{exitFailed, err}
	}
	return nil
}

// An announcement is what `dev -o json` prints when the node serves.
type announcement struct {
	URL      string `json:"url"`
	DataDir  string `json:"data_dir"`
	Workflow string `json:"workflow"`
	Version  string `json:"version"`
	PID      int    `json:"pid"`
}

// announce says where the node is.
func (a *app) announce(n *node.Node, config node.Config, definition *workflow.Definition) {
	dir, err := filepath.Abs(config.DataDir)
	if err != nil {
		dir = config.DataDir
	}
	if a.output == outputJSON {
		_ = a.printJSON(announcement{n.URL(), dir, definition.Name, readBuildInfo().Version, os.Getpid()}) // nobody is there to be told
		return
	}
	fmt.Fprintf(a.stdout, "troupe serving at %s\n  workflow  %s (%s)\n  data      %s\n  stop      Ctrl-C\n",
		n.URL(), definition.Name, definition.File, dir)
}

// runAndReport runs the node's workflow once and prints what became of it.
func (a *app) runAndReport(ctx context.Context, n *node.Node) {
	id, err := n.Runs().Start(ctx)
	if err != nil {
		a.printError(err)
		return
	}
	info, err := n.Runs().Wait(context.WithoutCancel(ctx), id)
	switch {
	case err != nil:
		a.printError(err)
	case a.output == outputTable:
		fmt.Fprintln(a.stdout, summary(info))
	}
}
