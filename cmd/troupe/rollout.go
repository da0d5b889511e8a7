package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/workflow"
)

func (a *app) workflowRolloutCommand() *cobra.Command {
	var r workflow.Rollout
	var stepAfter time.Duration
	var split []string
	var end bool
	var reason string
	var first rehearsal
	cmd := a.atNode(&cobra.Command{
		Use:   "rollout NAME",
		Short: "Give a version its runs in steps, or split runs between versions",
		Long: `Without a flag, shows the last rollout of a workflow with figures of each version.
--candidate begins a canary: the version gets 5, then 20, then all of the runs, and
is taken back by itself if more of its runs fail or take longer. --split gives fixed
shares to several versions. --end ends either: the stable version gets all runs.

Before a version gets runs, stored runs are replayed with it: if any would go
another way, they are shown and nothing is begun, unless with --force.`,
		Example: `  troupe workflow deploy orders.yaml --stage
  troupe workflow rollout orders --candidate 4 --step-after 30m
  troupe workflow rollout orders
  troupe workflow rollout orders --split 3=50,4=50
  troupe workflow rollout orders --end --reason "the other one is nicer"`,
	}, []string{workflowName}, func(ctx context.Context, c *console.Client, args []string) error {
		shares, err := splitOf(split)
		if err != nil {
			return err
		}
		r.Split, r.StepAfter = shares, workflow.Duration(stepAfter)
		var info workflow.RolloutInfo
		switch begins := r.Candidate > 0 || len(shares) > 0; {
		case end && begins:
			return usageError("troupe workflow rollout takes --end, or --candidate or --split; got both")
		case end:
			info, err = c.EndRollout(ctx, args[0], reason)
		case begins:
			if err := a.rehearsedAll(ctx, c, args[0], &r, first); err != nil {
				return err
			}
			info, err = c.SetRollout(ctx, args[0], r)
		default:
			info, err = c.Rollout(ctx, args[0])
		}
		if err != nil {
			return err
		}
		return a.print(info, func() error { return a.printRollout(&info) })
	})
	flags := cmd.Flags()
	flags.Int64Var(&r.Candidate, "candidate", 0, "the `VERSION` that is to become the active one")
	flags.Int64Var(&r.Stable, "stable", 0, "the `VERSION` that the other runs get; 0 is the active one")
	flags.IntSliceVar(&r.Steps, "steps", nil, "the percentages that the candidate gets; default 5,20,100")
	flags.DurationVar(&stepAfter, "step-after", 0, "how long each step takes at least; default 10m")
	flags.IntVar(&r.MinRuns, "min-runs", 0, "how many of its runs have to end in each step; default 20")
	flags.IntVar(&r.MinSample, "min-sample", 0, "how many of its runs have to end in a step before it may be taken back; default 10")
	flags.Float64Var(&r.MaxErrorRate, "max-error-rate", 0, "the share of its runs that may fail, 0 to 1; default 0.05, negative: any")
	flags.Float64Var(&r.MaxLatency, "max-latency", 0, "how many times longer its runs may take; default 2, negative: any")
	flags.StringSliceVar(&split, "split", nil, "fixed shares, as VERSION=PERCENT")
	flags.StringVar(&r.Comment, "comment", "", "what people are to know about it")
	flags.BoolVar(&end, "end", false, "end the rollout")
	flags.StringVar(&reason, "reason", "", "why it ends, for the record")
	first.register(cmd)
	return cmd
}

// rehearsedAll replays stored runs with each version that a rollout gives runs to.
func (a *app) rehearsedAll(ctx context.Context, c *console.Client, name string, r *workflow.Rollout, first rehearsal) error {
	if r.Candidate > 0 {
		return a.rehearsed(ctx, c, name, r.Candidate, first)
	}
	active, err := c.Version(ctx, name, 0)
	if err != nil {
		return err
	}
	for _, share := range r.Split {
		if share.Version == active.Version {
			continue
		}
		if err := a.rehearsed(ctx, c, name, share.Version, first); err != nil {
			return err
		}
	}
	return nil
}

// splitOf reads VERSION=PERCENT.
func splitOf(texts []string) ([]workflow.RolloutShare, error) {
	var shares []workflow.RolloutShare
	for _, text := range texts {
		version, percent, ok := strings.Cut(text, "=")
		v, err := strconv.ParseInt(version, 10, 64)
		p, bad := strconv.Atoi(percent)
		if !ok || err != nil || bad != nil {
			return nil, usageError("--split: want VERSION=PERCENT, such as 3=50, got %q", text)
		}
		shares = append(shares, workflow.RolloutShare{Version: v, Percent: p})
	}
	return shares, nil
}

func (a *app) printRollout(info *workflow.RolloutInfo) error {
	if info.State == workflow.RolloutNone {
		_, err := fmt.Fprintf(a.stdout, "%s has no rollout: new runs begin with the active version\n", printable(info.Workflow))
		return err
	}
	rows := [][]string{{"workflow", printable(info.Workflow)}, {"state", string(info.State)}, {"started", clock(info.Started)}}
	if info.Candidate > 0 {
		rows = append(rows, []string{"candidate", fmt.Sprintf("version %d, %d %% of the runs", info.Candidate, info.Percent)})
	}
	if !info.Due.IsZero() {
		rows = append(rows, []string{"next step", "not before " + clock(info.Due)})
	}
	if info.Reason != "" {
		rows = append(rows, []string{"reason", printable(info.Reason)})
	}
	if err := a.printTable(nil, rows); err != nil {
		return err
	}
	arms := make([][]string, len(info.Arms))
	for i := range info.Arms {
		arm := &info.Arms[i]
		arms[i] = []string{
			strconv.FormatInt(arm.Version, 10), strconv.Itoa(arm.Percent) + " %", strconv.FormatInt(arm.Runs, 10), strconv.FormatInt(arm.Failed, 10),
			fmt.Sprintf("%.1f %%", 100*arm.ErrorRate), shortly(arm.P50), shortly(arm.P95),
		}
	}
	if _, err := fmt.Fprintln(a.stdout); err != nil {
		return err
	}
	return a.printTable([]string{"VERSION", "SHARE", "RUNS", "FAILED", "ERRORS", "P50", "P95"}, arms)
}
