package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/workflow"
)

func (a *app) workflowReplayCommand() *cobra.Command {
	var r console.ReplayRequest
	var file string
	cmd := a.atNode(&cobra.Command{
		Use:   "replay NAME",
		Short: "Try a version on what has happened, without doing anything",
		Long: `Has the histories of the newest runs of a workflow decided again by another version,
or by the definition in --file, and shows where it leads elsewhere: "differs" is a
run that would have gone another way, "unknown" one in which it begins a step of
which nothing is recorded. How tasks ended, signals and times are taken from the
histories; nothing is done. The exit code is 1 if any run is not the same.`,
		Example: `  troupe workflow replay orders --version 4
  troupe workflow replay orders --file orders.yaml --runs 1000
  troupe workflow replay orders --version 4 --open -o json`,
	}, []string{workflowName}, func(ctx context.Context, c *console.Client, args []string) error {
		if file != "" {
			if r.Version != 0 {
				return usageError("troupe workflow replay takes --version or --file, got both")
			}
			var err error
			if r.Text, r.File, r.Dir, err = definitionArgument(file); err != nil {
				return err
			}
		}
		report, err := c.Replay(ctx, args[0], r)
		if err != nil {
			return invalidAtNode(err)
		}
		if err := a.print(report, func() error { return a.printReplay(a.stdout, &report) }); err != nil {
			return err
		}
		if report.Differs+report.Unknown > 0 {
			return &exitError{exitFailed, errReported}
		}
		return nil
	})
	flags := cmd.Flags()
	flags.Int64Var(&r.Version, "version", 0, "the version to try; 0 is the active one")
	flags.StringVar(&file, "file", "", "a definition that is no version yet; @- reads it from standard input")
	flags.IntVar(&r.Limit, "runs", workflow.ReplayRunsDefault, fmt.Sprintf("how many of the newest runs, up to %d", workflow.ReplayRunsMax))
	flags.BoolVar(&r.Open, "open", false, "also runs that are under way, as far as they have come")
	return cmd
}

// definitionArgument reads a definition to be sent to a node: its text, what
// messages call it, and where its relative paths begin. @- is standard input.
func definitionArgument(source string) (text, name, dir string, err error) {
	if source != "@-" {
		path, err := filepath.Abs(source)
		if err != nil {
			return "", "", "", err
		}
		name, dir, source = source, filepath.Dir(path), "@"+source
	}
	data, err := readArgument(source)
	return string(data), name, dir, err
}

// printReplay prints the runs that would go another way, and the figures.
func (a *app) printReplay(w io.Writer, report *workflow.ReplayReport) error {
	var rows [][]string
	for i := range report.Runs {
		r := &report.Runs[i]
		if r.Outcome != workflow.ReplaySame {
			rows = append(rows, []string{
				r.RunID, strconv.FormatInt(r.Version, 10), string(r.Outcome), strconv.FormatInt(r.Event, 10), dash(clip(r.Recorded, errorColumn)), dash(clip(r.Replayed, errorColumn)),
			})
		}
	}
	if len(rows) > 0 {
		if err := writeTable(w, []string{"RUN", "VERSION", "OUTCOME", "EVENT", "RECORDED", "NOW"}, rows); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	what := "this definition"
	if report.Version != 0 {
		what = fmt.Sprintf("version %d", report.Version)
	}
	_, err := fmt.Fprintf(w, "%s replayed with %s: %d the same, %d differ, %d unknown\n",
		counted(len(report.Runs), "run", "runs"), what, report.Same, report.Differs, report.Unknown)
	return err
}

// rehearsal is what is tried before a version gets runs.
type rehearsal struct {
	runs  int
	force bool
}

func (r *rehearsal) register(cmd *cobra.Command) {
	cmd.Flags().IntVar(&r.runs, "replay", workflow.ReplayRunsDefault, "how many of the newest runs to replay with the version first; 0: none")
	cmd.Flags().BoolVar(&r.force, "force", false, "go on also if stored runs would go another way")
}

// rehearsed replays stored runs with a version that is to get runs. What differs is
// shown, and an error unless it is forced.
func (a *app) rehearsed(ctx context.Context, c *console.Client, name string, version int64, r rehearsal) error {
	if r.runs == 0 {
		return nil
	}
	report, err := c.Replay(ctx, name, console.ReplayRequest{Version: version, Limit: r.runs})
	if err != nil || len(report.Runs) == 0 {
		return err
	}
	if err := a.printReplay(a.stderr, &report); err != nil {
		return err
	}
	if report.Differs+report.Unknown == 0 || r.force {
		return nil
	}
	return &exitError{exitFailed, errors.New("nothing was changed, as stored runs would go another way; --force goes on all the same")}
}
