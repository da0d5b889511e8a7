package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// interruptible returns a context that the first SIGINT or SIGTERM cancels, with
// errInterrupted as its cause. A second signal ends the process at once. The
// returned function gives the signals back; it waits for its goroutine.
func (a *app) interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
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
		close(quit)
		<-done
		cancel(nil)
	}
}
