// Command bench measures Troupe beside Proto.Actor, a plain channel with a
// goroutine, and a plain linked queue with a goroutine, on the workloads whose
// targets the project has set itself. README.md says how and why.
//
//	go run .                                  every workload, five rounds, a Markdown table
//	go run . -quick                           counts only, a few seconds, for CI
//	go run . -write ../docs/BENCHMARKS.md     the same, and put the table into a document
//	go run . -workloads L1,L4a -systems channel,troupe -rounds 9
//
// The exit code is 0 when everything was measured and every count was right,
// 1 when a measurement failed, 2 for a mistake in the flags, and with -strict 3
// when a target is missed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/bench/internal/systems"
	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitMissed = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the flags, checked.
type options struct {
	child     bool
	workload  workload.Name // of a child
	system    string        // of a child
	workloads []workload.Name
	systems   []string
	rounds    int
	duration  time.Duration
	quick     bool
	strict    bool
	json      bool
	wait      time.Duration // for a quiet machine, before each measurement
	document  string        // to put the table into; empty: none
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return complain(stderr, err, exitUsage)
	}
	if opts.child {
		return runChild(opts, stdout, stderr)
	}
	report, err := measureAll(ctx, opts, stdout, stderr)
	switch {
	case err != nil:
		return complain(stderr, err, exitFailed)
	case len(report.Failures) > 0:
		return exitFailed
	case opts.strict && report.missed() > 0:
		return exitMissed
	}
	return exitOK
}

// complain prints the one line that says what went wrong; if even that fails,
// the exit code is all there is to tell.
func complain(stderr io.Writer, err error, code int) int {
	_, _ = fmt.Fprintln(stderr, "bench:", err)
	return code
}

// measureAll drives the measurements and writes what they gave. The document is
// looked at first, so that a wrong name does not cost a whole run, and is left
// alone if a measurement failed.
func measureAll(ctx context.Context, opts options, stdout, stderr io.Writer) (*report, error) {
	if opts.document != "" {
		if _, err := readDocument(opts.document); err != nil {
			return nil, err
		}
	}
	rep, err := drive(ctx, opts, stderr)
	if err != nil {
		return nil, err
	}
	write := rep.writeMarkdown
	if opts.json {
		write = rep.writeJSON
	}
	if err := write(stdout); err != nil {
		return nil, err
	}
	if opts.document != "" && len(rep.Failures) == 0 {
		err = rep.writeDocument(opts.document)
	}
	return rep, err
}

func parse(args []string, stderr io.Writer) (options, error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		opts      options
		name      = flags.String("workload", "", "with -child: the workload to measure")
		workloads = flags.String("workloads", joined(workload.Names()), "workloads to measure, separated by commas")
		names     = flags.String("systems", strings.Join(systemNames(), ","), "systems to measure, separated by commas")
		seconds   = flags.Float64("seconds", 1, "length of one measurement, in seconds")
		output    = flags.String("o", "markdown", "output: markdown or json")
	)
	flags.BoolVar(&opts.child, "child", false, "measure one workload on one system in this process and print one line of JSON")
	flags.StringVar(&opts.system, "system", "", "with -child: the system to measure")
	flags.IntVar(&opts.rounds, "rounds", 5, "times each measurement is repeated, each in a fresh process")
	flags.BoolVar(&opts.quick, "quick", false, "one short round that checks counts and judges no time")
	flags.BoolVar(&opts.strict, "strict", false, "exit with 3 when a target is missed")
	flags.DurationVar(&opts.wait, "wait", 0, "before each measurement, wait up to this `duration` until other programs leave the machine alone")
	flags.StringVar(&opts.document, "write", "", "put the table into this Markdown `file`, between its two markers")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	if flags.NArg() > 0 {
		return opts, fmt.Errorf("argument %q is not expected; everything is a flag, see -help", flags.Arg(0))
	}
	opts.duration = time.Duration(*seconds * float64(time.Second))
	opts.json = *output == "json"
	opts.workload = workload.Name(*name)
	opts.systems = strings.Split(*names, ",")
	for w := range strings.SplitSeq(*workloads, ",") {
		opts.workloads = append(opts.workloads, workload.Name(w))
	}
	if opts.quick {
		opts.rounds = 1
	}
	if *output != "json" && *output != "markdown" {
		return opts, fmt.Errorf("-o %s is not an output; use markdown or json", *output)
	}
	err := opts.check()
	return opts, err
}

func (o *options) check() error {
	names, measured := o.workloads, o.systems
	if o.child {
		names, measured = []workload.Name{o.workload}, []string{o.system}
	}
	for _, w := range names {
		if !slices.Contains(workload.Names(), w) {
			return fmt.Errorf("workload %q does not exist; the workloads are %s", w, joined(workload.Names()))
		}
	}
	for _, s := range measured {
		if _, err := systems.ByName(s); err != nil {
			return err
		}
	}
	switch {
	case o.quick && o.document != "":
		return errors.New("-quick measures nothing that -write could write; leave out one of the two")
	case o.rounds < 1 || o.rounds > 1000:
		return fmt.Errorf("-rounds %d is out of range; use 1 to 1000", o.rounds)
	case o.wait < 0:
		return fmt.Errorf("-wait %v is negative; use 0 or more", o.wait)
	case o.duration < 10*time.Millisecond || o.duration > time.Minute:
		return fmt.Errorf("-seconds %v is out of range; use 0.01 to 60", o.duration.Seconds())
	}
	return nil
}

func (o *options) limits() workload.Limits {
	if o.quick {
		return workload.QuickLimits()
	}
	return workload.DefaultLimits(o.duration)
}

// sample is what a child prints: a result, or why there is none.
type sample struct {
	workload.Result
	Error         string `json:"error,omitempty"`
	NotApplicable bool   `json:"not_applicable,omitempty"`
}

func runChild(opts options, stdout, stderr io.Writer) int {
	sys, err := systems.ByName(opts.system)
	if err != nil {
		return complain(stderr, err, exitUsage)
	}
	result, err := workload.Run(opts.workload, sys, opts.limits())
	s := sample{Result: result}
	switch {
	case errors.Is(err, workload.ErrNotApplicable):
		s.NotApplicable = true
	case err != nil:
		s.Error = err.Error()
	}
	if err := json.NewEncoder(stdout).Encode(s); err != nil {
		return complain(stderr, err, exitFailed)
	}
	if s.Error != "" {
		return exitFailed
	}
	return exitOK
}

func systemNames() (names []string) {
	for _, s := range systems.All() {
		names = append(names, s.Name())
	}
	return names
}

func joined(names []workload.Name) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(n))
	}
	return b.String()
}
