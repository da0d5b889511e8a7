package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// interruptible returns a context that the first SIGINT, SIGTERM or SIGHUP
// cancels, with errInterrupted as its cause. A SIGHUP that is ignored, as under
// nohup, stays ignored. A second signal ends the process at once. The
// SIGPIPE is not taken for a reason to end: a server goes on when nobody reads its
// log any more, and a write to standard output fails with an error. The
// returned function gives the signals back; it waits for its goroutine.
func (a *app) interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	// Not ignored, which the processes that are started here would inherit.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-quit:
			return
		case <-signals:
		}
		fmt.Fprintln(a.stderr, "troupe: stopping; once more stops at once")
		cancel(errInterrupted)
		select {
		case <-quit:
		case <-signals:
			fmt.Fprintln(a.stderr, "troupe: stopped at once")
			a.exit(int(exitInterrupted))
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		signal.Stop(pipe)
		close(quit)
		<-done
		cancel(nil)
	}
}
