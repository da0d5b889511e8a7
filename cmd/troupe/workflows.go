package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/workflow"
)

// workflowName is the argument that names a workflow.
const workflowName = "the NAME of a workflow"

// nodeWorkflowCommands are the commands about workflows of a node, below troupe
// workflow.
func (a *app) nodeWorkflowCommands() []*cobra.Command {
	return []*cobra.Command{
		a.workflowListCommand(), a.workflowShowCommand(), a.workflowDeployCommand(), a.workflowStartCommand(), a.workflowVersionsCommand(),
		a.workflowCompareCommand(), a.workflowReplayCommand(), a.workflowActivateCommand(), a.workflowRolloutCommand(), a.workflowDeleteCommand(),
	}
}

// printVersions prints versions as a table.
func (a *app) printVersions(versions []workflow.Version, next string) error {
	if len(versions) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no workflows")
		return err
	}
	rows := make([][]string, len(versions))
	for i := range versions {
		v := &versions[i]
		active := "-"
		if v.Active {
			active = "active"
		}
		rows[i] = []string{printable(v.Workflow), strconv.FormatInt(v.Version, 10), active, clock(v.Created), dash(v.File), dash(clip(v.Comment, errorColumn))}
	}
	if err := a.printTable([]string{"WORKFLOW", "VERSION", "STATE", "DEPLOYED", "FILE", "COMMENT"}, rows); err != nil {
		return err
	}
	return a.printNext(next)
}

func (a *app) workflowListCommand() *cobra.Command {
	var page pageFlags
	cmd := a.atNode(&cobra.Command{
		Use: "list", Short: "List the workflows of a node, each by its active version", Example: `  troupe workflow list`,
	}, nil, func(ctx context.Context, c *console.Client, _ []string) error {
		list, err := c.Workflows(ctx, page.limit, page.cursor)
		if err != nil {
			return err
		}
		return a.print(list, func() error { return a.printVersions(list.Workflows, list.Next) })
	})
	page.register(cmd, "workflows", 100)
	return cmd
}

func (a *app) workflowShowCommand() *cobra.Command {
	var version int64
	cmd := a.atNode(&cobra.Command{
		Use: "show NAME", Short: "Show the definition of a workflow",
		Example: `  troupe workflow show orders
  troupe workflow show orders --version 3 >orders.yaml`,
	}, []string{workflowName}, func(ctx context.Context, c *console.Client, args []string) error {
		v, err := c.Version(ctx, args[0], version)
		if err != nil {
			return err
		}
		return a.print(v, func() error {
			_, err := fmt.Fprint(a.stdout, v.Text)
			return err
		})
	})
	cmd.Flags().Int64Var(&version, "version", 0, "the version; 0 is the active one")
	return cmd
}

func (a *app) workflowDeployCommand() *cobra.Command {
	var comment, name string
	var stage bool
	cmd := a.atNode(&cobra.Command{
		Use:   "deploy FILE",
		Short: "Make a definition the version that new runs begin with",
		Long: `Gives a node the definition in FILE. It becomes a version of the workflow of its
name, the one that new runs begin with; a text that is there already makes no new
one. Relative paths of sources remain relative to FILE, on the node's machine. @-
reads the definition from standard input.`,
		Example: `  troupe workflow deploy orders.yaml --comment "two sinks"
  troupe workflow show orders --node http://a:8080 | troupe workflow deploy @- --node http://b:8080`,
	}, []string{"a FILE"}, func(ctx context.Context, c *console.Client, args []string) error {
		text, file, dir, err := definitionArgument(args[0])
		if err != nil {
			return err
		}
		r := console.DeployRequest{Text: text, Comment: comment, File: cmp.Or(name, file), Dir: dir}
		if stage {
			r.Activate = new(bool) // false
		}
		v, err := c.Deploy(ctx, r)
		if err != nil {
			return invalidAtNode(err)
		}
		return a.print(v, func() error {
			_, err := fmt.Fprintf(a.stdout, "%s: version %d\n", printable(v.Workflow), v.Version)
			return err
		})
	})
	cmd.Flags().StringVar(&comment, "comment", "", "what is new, for the list of versions")
	cmd.Flags().BoolVar(&stage, "stage", false, "only add the version: new runs begin with the one that is active")
	cmd.Flags().StringVar(&name, "file", "", "what messages call the definition; default FILE")
	return cmd
}

func (a *app) workflowStartCommand() *cobra.Command {
	var r console.RunRequest
	var key string
	var wait bool
	inputs := inputFlags{}
	cmd := a.atNode(&cobra.Command{
		Use:   "start NAME",
		Short: "Start a run of a workflow on a node",
		Long: `Starts a run and prints its ID. When the command returns, the start is recorded:
the run goes on, whatever dies. With --wait, it prints what happens in the run
until its end; the exit code is then 1 if it is not completed.`,
		Example: `  troupe workflow start orders --input day=2026-05-01 --key acme
  troupe workflow start orders --idempotency-key order-4711
  troupe workflow start orders --wait`,
	}, []string{workflowName}, func(ctx context.Context, c *console.Client, args []string) error {
		r.Inputs = inputsOf(inputs)
		started, err := c.StartRun(ctx, args[0], r, key)
		if err != nil {
			return err
		}
		if wait {
			return a.watchRun(ctx, c, started.ID)
		}
		return a.printStarted(started)
	})
	flags := cmd.Flags()
	flags.Int64Var(&r.Version, "version", 0, "the version to run; 0 is the active one")
	flags.StringVar(&r.Key, "key", "", "whose run it is, such as a customer")
	flags.IntVar(&r.Priority, "priority", 0, "of its tasks where they compete for a limit: higher goes first")
	flags.StringVar(&key, "idempotency-key", "", "makes the command one that can be repeated")
	flags.BoolVar(&wait, "wait", false, "follow the run until its end")
	inputs.register(cmd)
	return cmd
}

func (a *app) workflowVersionsCommand() *cobra.Command {
	var page pageFlags
	cmd := a.atNode(&cobra.Command{
		Use: "versions NAME", Short: "List the versions of a workflow, the newest first", Example: `  troupe workflow versions orders`,
	}, []string{workflowName}, func(ctx context.Context, c *console.Client, args []string) error {
		list, err := c.Versions(ctx, args[0], page.limit, page.cursor)
		if err != nil {
			return err
		}
		return a.print(list, func() error { return a.printVersions(list.Versions, list.Next) })
	})
	page.register(cmd, "versions", 100)
	return cmd
}

// versionArgument reads the number of a version.
func versionArgument(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, usageError("want the number of a version, as troupe workflow versions prints it, got %q", text)
	}
	return n, nil
}

func (a *app) workflowActivateCommand() *cobra.Command {
	var expected int64
	var first rehearsal
	cmd := a.atNode(&cobra.Command{
		Use:   "activate NAME VERSION",
		Short: "Have new runs begin with a version, such as an older one",
		Long: `Has new runs begin with a version, such as an older one. Runs under way stay with
theirs. Before that, stored runs are replayed with the version: if any would go
another way, they are shown and nothing is changed, unless with --force.`,
		Example: `  troupe workflow activate orders 3
  troupe workflow activate orders 2 --force
  troupe workflow activate orders 3 --if-active 4`,
	}, []string{workflowName, "a VERSION"}, func(ctx context.Context, c *console.Client, args []string) error {
		n, err := versionArgument(args[1])
		if err != nil {
			return err
		}
		if err := a.rehearsed(ctx, c, args[0], n, first); err != nil {
			return err
		}
		v, err := c.Activate(ctx, args[0], n, expected)
		if err != nil {
			return err
		}
		return a.print(v, func() error {
			_, err := fmt.Fprintf(a.stdout, "%s: new runs begin with version %d\n", printable(v.Workflow), v.Version)
			return err
		})
	})
	cmd.Flags().Int64Var(&expected, "if-active", 0, "only if this `VERSION` is the active one now")
	first.register(cmd)
	return cmd
}

func (a *app) workflowDeleteCommand() *cobra.Command {
	var prune bool
	cmd := a.atNode(&cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a workflow that nothing needs any more",
		Long: `Deletes a workflow: nothing can be started by its name. It is refused, and said why,
while runs are under way, or while schedules, triggers or other workflows start it.
Its runs can be read until they are pruned, and to deploy or activate a version
brings it back. With --prune, its versions and runs are removed for good.`,
		Example: `  troupe workflow delete orders
  troupe workflow delete orders --prune`,
	}, []string{workflowName}, func(ctx context.Context, c *console.Client, args []string) error {
		deleted, err := c.DeleteWorkflow(ctx, args[0], prune)
		if err != nil {
			return err
		}
		return a.print(deleted, func() error {
			what := fmt.Sprintf("its %s and its runs can still be read", counted(deleted.Versions, "version", "versions"))
			if deleted.Pruned {
				what = fmt.Sprintf("with %s and %s", counted(deleted.Versions, "version", "versions"), counted(len(deleted.Runs), "run", "runs"))
			}
			_, err := fmt.Fprintf(a.stdout, "workflow %s deleted; %s\n", printable(deleted.Workflow), what)
			return err
		})
	})
	cmd.Flags().BoolVar(&prune, "prune", false, "remove its versions and its runs, too; this cannot be undone")
	return cmd
}

func (a *app) workflowCompareCommand() *cobra.Command {
	var from, to int64
	cmd := a.atNode(&cobra.Command{
		Use:   "diff NAME",
		Short: "Show what differs between two versions",
		Long: `Shows what differs between two versions as far as it matters: comments, layout and
the order of nodes do not. The exit code is 1 if anything differs.`,
		Example: `  troupe workflow diff orders --from 3
  troupe workflow diff orders --from 2 --to 4 -o json`,
	}, []string{workflowName}, func(ctx context.Context, c *console.Client, args []string) error {
		diff, err := c.Diff(ctx, args[0], from, to)
		if err != nil {
			return err
		}
		if err := a.print(diff, func() error { return a.printDiff(&diff) }); err != nil {
			return err
		}
		if !diff.Same() {
			return errors.Join(errReported)
		}
		return nil
	})
	cmd.Flags().Int64Var(&from, "from", 0, "the older `VERSION`; 0 is the active one")
	cmd.Flags().Int64Var(&to, "to", 0, "the newer `VERSION`; 0 is the active one")
	return cmd
}

func (a *app) printDiff(diff *workflow.Diff) error {
	text := diff.String()
	if diff.Same() {
		text = fmt.Sprintf("versions %d and %d say the same\n", diff.From, diff.To)
	}
	_, err := fmt.Fprint(a.stdout, text)
	return err
}
