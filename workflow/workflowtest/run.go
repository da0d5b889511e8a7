// Package workflowtest runs workflows in tests of node types, and in examples:
// on a real engine and a real store, which last as long as the run.
//
//	info, err := workflowtest.Run(ctx, definition, workflow.EngineOptions{Registry: registry, OutputDir: dir})
package workflowtest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
)

// Run runs a definition to its end and returns what became of it. The error is
// that of [workflow.Run.Wait], or says what failed before. The run is cancelled
// when ctx ends. A definition that workflow.LoadFS has read needs
// [workflow.EngineOptions].Files.
func Run(ctx context.Context, definition *workflow.Definition, options workflow.EngineOptions) (info workflow.RunInfo, err error) {
	dir, err := os.MkdirTemp("", "workflowtest-")
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := sqlite.Open(ctx, filepath.Join(dir, "store.db"), sqlite.Options{})
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	defer func() { err = errors.Join(err, sys.Stop(context.WithoutCancel(ctx))) }()
	options.ByHand = true
	engine, err := workflow.Open(ctx, sys, s, options)
	if err != nil {
		return info, err
	}
	if _, err := engine.Deploy(ctx, definition, ""); err != nil {
		return info, err
	}
	run, err := engine.Start(ctx, definition.Name, workflow.StartOptions{Inputs: definition.Given()})
	if err != nil {
		return info, err
	}
	info, err = run.Wait(ctx)
	if ctx.Err() != nil && !info.State.Final() {
		_ = run.Cancel(context.WithoutCancel(ctx), "") // a run that ended at the same moment needs none
		return run.Wait(context.WithoutCancel(ctx))
	}
	return info, err
}
