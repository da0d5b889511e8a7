package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/files"
	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
)

// An exitCode is what a script sees. The numbers are part of the interface and
// do not change.
type exitCode int

const (
	exitOK          exitCode = 0
	exitFailed      exitCode = 1
	exitUsage       exitCode = 2
	exitInvalid     exitCode = 3
	exitEnvironment exitCode = 4
	exitInterrupted exitCode = 130
)

// exitCodesTopic is the text of `troupe help exit-codes`.
const exitCodesTopic = `Exit codes of every troupe command:

  0    done; every check passed
  1    a run or a check failed
  2    wrong usage: an unknown command or flag, a missing argument
  3    an invalid workflow definition or configuration, also one that names
       a source file which is not there
  4    the environment: a taken port, a full disk, a file that cannot be
       read or written; a store that is damaged, in use, not one, or of a
       newer version; a database or node that does not answer
  130  interrupted: a workflow was stopped by Ctrl-C before its end, or a
       second Ctrl-C did not wait for a graceful stop

A server that was told to stop by SIGINT, SIGTERM or SIGHUP and drained in time
exits 0. Errors are lines on standard error; results go to standard output.`

// exitCodesCommand is a help topic: it has no action of its own.
func exitCodesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long:  exitCodesTopic,
	}
}

// An exitError carries the exit code that an error is to have.
type exitError struct {
	code exitCode
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usageError is an error in how the command was called.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// errInterrupted is the cause with which Ctrl-C cancels a command's context.
var errInterrupted = errors.New("interrupted")

// errReported is an error whose report has been printed as the result.
var errReported = errors.New("")

// codeOf returns the exit code of an error: the one it carries, or the one that
// its kind has.
func codeOf(err error) exitCode {
	var carried *exitError
	var problems node.Problems
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &carried):
		return carried.code
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &problems):
		for _, p := range problems {
			if !strings.HasPrefix(p.Where, "--") {
				return exitInvalid
			}
		}
		return exitUsage // only flags are wrong
	case isEnvironment(err):
		return exitEnvironment
	default:
		return exitFailed
	}
}

// isEnvironment reports whether the machine, not the input, is the reason.
func isEnvironment(err error) bool {
	if reason, _, _ := files.Explain(err); reason != files.Other {
		return true
	}
	for _, errno := range []syscall.Errno{syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, syscall.EACCES, syscall.EBUSY, syscall.EIO} {
		if errors.Is(err, errno) {
			return true
		}
	}
	for _, unusable := range []error{store.ErrInUse, store.ErrNotAStore, store.ErrNewerSchema, store.ErrDamaged, store.ErrReadOnly, postgres.ErrUnsafe} {
		if errors.Is(err, unusable) {
			return true
		}
	}
	// What other layers, such as a database, say in their own words.
	switch fault.CodeOf(err) {
	case fault.ResourceExhausted, fault.PermissionDenied, fault.Unavailable, fault.Unauthenticated:
		return true
	default:
		return false
	}
}
