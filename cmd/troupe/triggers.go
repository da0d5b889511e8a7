package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/workflow"
)

// triggerName is the argument that names a trigger.
const triggerName = "the NAME of a trigger"

func (a *app) triggerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trigger",
		Short: "Have workflows run for requests, files and records",
		Long: `A trigger starts a run of a workflow for each delivery: a request of another system,
a file that appears. One that comes again starts nothing.

  troupe trigger types                what can be a trigger
  troupe trigger list                 what there is
  troupe trigger put NAME …           make one, or change it
  troupe trigger deliver NAME …       try it with a delivery of one's own
  troupe trigger pause NAME           nothing is taken in; resume ends it

` + nodeTopic,
		Args: knownSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.triggerListCommand(), a.triggerShowCommand(), a.triggerPutCommand(), a.triggerDeliverCommand(), a.triggerTypesCommand(),
		a.deleteCommand("trigger", triggerName, "orders", (*console.Client).DeleteTrigger),
		pauseCommand(a, "trigger", triggerName, "orders", true, (*console.Client).PauseTrigger, a.printTriggerInfo),
		pauseCommand(a, "trigger", triggerName, "orders", false, (*console.Client).PauseTrigger, a.printTriggerInfo))
	return cmd
}

func (a *app) triggerListCommand() *cobra.Command {
	var page pageFlags
	var of string
	cmd := a.atNode(&cobra.Command{
		Use: "list", Short: "List the triggers, by name",
		Example: `  troupe trigger list
  troupe trigger list --workflow orders -o json`,
	}, nil, func(ctx context.Context, c *console.Client, _ []string) error {
		list, err := c.Triggers(ctx, of, page.limit, page.cursor)
		if err != nil {
			return err
		}
		return a.print(list, func() error { return a.printTriggers(list) })
	})
	cmd.Flags().StringVar(&of, "workflow", "", "of this workflow")
	page.register(cmd, "triggers", 100)
	return cmd
}

func (a *app) triggerShowCommand() *cobra.Command {
	return a.atNode(&cobra.Command{
		Use: "show NAME", Short: "Show a trigger and its last deliveries", Example: `  troupe trigger show orders`,
	}, []string{triggerName}, func(ctx context.Context, c *console.Client, args []string) error {
		return a.printTriggerInfo(c.Trigger(ctx, args[0]))
	})
}

func (a *app) triggerPutCommand() *cobra.Command {
	var t workflow.Trigger
	var document string
	with, inputs := inputFlags{}, inputFlags{}
	cmd := a.atNode(&cobra.Command{
		Use:     "put NAME",
		Aliases: []string{"create"},
		Short:   "Make a trigger, or change it",
		Long: `Makes the trigger NAME, or gives the one of that name other settings. With --json,
all settings come from a JSON document, as show -o json prints them. The settings of
--with depend on the type: see troupe trigger types TYPE.`,
		Example: `  troupe trigger put orders --workflow order --kind webhook --with secret=env:ORDERS_SECRET --input 'order=${{ trigger.body.id }}'
  troupe trigger put inbox --workflow import --kind file --with dir=/data/inbox --input 'path=${{ trigger.attributes.path }}'
  troupe trigger put orders --json @orders.json`,
	}, []string{triggerName}, func(ctx context.Context, c *console.Client, args []string) error {
		if document != "" {
			text, err := readArgument(document)
			if err != nil {
				return err
			}
			var known workflow.TriggerInfo // what show prints is taken as it is
			if err := json.Unmarshal(text, &known); err != nil {
				return usageError("--json: want a trigger as JSON: %v", err)
			}
			t = known.Trigger
		} else {
			var err error
			if t.With, err = configuration(with); err != nil {
				return err
			}
			t.Inputs = inputs
		}
		t.Name = args[0]
		return a.printTriggerInfo(c.PutTrigger(ctx, t, 0))
	})
	flags := cmd.Flags()
	flags.StringVar(&document, "json", "", "the trigger as JSON; @FILE, @- for standard input")
	flags.StringVar(&t.Workflow, "workflow", "", "what runs")
	flags.Int64Var(&t.Version, "version", 0, "the version that runs; 0 is the active one")
	flags.StringVar(&t.Kind, "kind", "", "the `TYPE` of the trigger, such as webhook or file")
	flags.Var(with, "with", "a setting of the type; a value that is JSON is taken as such; may be repeated")
	flags.StringVar(&t.Key, "key", "", "whose runs they are, with expressions such as ${{ trigger.body.customer }}")
	flags.IntVar(&t.Priority, "priority", 0, "which runs go first where they compete: the higher number")
	flags.StringVar(&t.Dedup, "dedup", "", "an `EXPRESSION` for what a repeated delivery is known by, such as trigger.body.id")
	flags.BoolVar(&t.Paused, "paused", false, "take nothing in until it is resumed")
	flags.StringVar(&t.Comment, "comment", "", "what it is for")
	inputs.register(cmd)
	return cmd
}

// configuration is what --with says as a JSON document.
func configuration(with inputFlags) (json.RawMessage, error) {
	if len(with) == 0 {
		return nil, nil
	}
	values := make(map[string]json.RawMessage, len(with))
	for name, text := range with {
		if json.Valid([]byte(text)) {
			values[name] = json.RawMessage(text)
			continue
		}
		quoted, err := json.Marshal(text)
		if err != nil {
			return nil, err
		}
		values[name] = quoted
	}
	return json.Marshal(values)
}

func (a *app) triggerDeliverCommand() *cobra.Command {
	var r console.DeliverRequest
	var body string
	header, query, attributes := inputFlags{}, inputFlags{}, inputFlags{}
	cmd := a.atNode(&cobra.Command{
		Use:   "deliver NAME",
		Short: "Try a trigger with a delivery of one's own",
		Long: `Hands a delivery to a trigger of any type as if it had been let in: its signature is
not checked, and it does not matter whether the trigger is paused. Prints the ID of
the run that it starts. With --id, the same again starts nothing.`,
		Example: `  troupe trigger deliver orders --body '{"id": 4711}'
  troupe trigger deliver orders --body @request.json --header X-Event=paid --id 4711
  troupe trigger deliver inbox --attribute path=/data/inbox/a.csv`,
	}, []string{triggerName}, func(ctx context.Context, c *console.Client, args []string) error {
		text, err := readArgument(body)
		if err != nil {
			return err
		}
		r.Body, r.Header, r.Query, r.Attributes = string(text), valuesOf(header), valuesOf(query), attributes
		delivered, err := c.Deliver(ctx, args[0], r)
		if err != nil {
			return err
		}
		return a.print(delivered, func() error {
			said := delivered.ID
			if delivered.Repeated {
				said += "  (it had come before)"
			}
			_, err := fmt.Fprintln(a.stdout, said)
			return err
		})
	})
	flags := cmd.Flags()
	flags.StringVar(&body, "body", "", "the body; @FILE, @- for standard input")
	flags.StringVar(&r.ID, "id", "", "what a repeated delivery is known by")
	flags.Var(header, "header", "a header; may be repeated")
	flags.Var(query, "query", "a key of the query; may be repeated")
	flags.Var(attributes, "attribute", "what the type says of a delivery, such as path=FILE; may be repeated")
	return cmd
}

// valuesOf are flags as headers have them.
func valuesOf(flags inputFlags) map[string][]string {
	out := make(map[string][]string, len(flags))
	for name, value := range flags {
		out[name] = []string{value}
	}
	return out
}

// printTriggerInfo prints a trigger as it is now.
func (a *app) printTriggerInfo(t workflow.TriggerInfo, err error) error {
	if err != nil {
		return err
	}
	return a.print(t, func() error { return a.printTrigger(&t) })
}

func (a *app) printTriggers(list console.TriggerList) error {
	if len(list.Triggers) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no triggers")
		return err
	}
	rows := make([][]string, len(list.Triggers))
	for i := range list.Triggers {
		t := &list.Triggers[i]
		rows[i] = []string{
			t.Name, printable(t.Workflow), t.Kind, triggerState(t), strconv.FormatInt(t.Counts.Started, 10), strconv.FormatInt(t.Counts.Repeated, 10),
			strconv.FormatInt(t.Counts.Refused+t.Counts.Failed, 10),
		}
	}
	if err := a.printTable([]string{"NAME", "WORKFLOW", "KIND", "STATE", "STARTED", "REPEATED", "REFUSED"}, rows); err != nil {
		return err
	}
	return a.printNext(list.Next)
}

// triggerState is how a trigger does, in a word or with what is wrong.
func triggerState(t *workflow.TriggerInfo) string {
	switch {
	case t.Paused:
		return "paused"
	case t.Error != "":
		return "fails: " + clip(t.Error, errorColumn)
	case t.Listens:
		return "listens"
	}
	return "waits"
}

func (a *app) printTrigger(t *workflow.TriggerInfo) error {
	rows := [][]string{
		{"name", t.Name}, {"workflow", printable(t.Workflow)}, {"kind", t.Kind}, {"with", dash(string(t.With))}, {"state", triggerState(t)},
		{"revision", strconv.FormatInt(t.Revision, 10)},
		{"counts", fmt.Sprintf("%d started, %d repeated, %d refused, %d failed", t.Counts.Started, t.Counts.Repeated, t.Counts.Refused, t.Counts.Failed)},
	}
	if t.Kind == "webhook" {
		rows = append(rows, []string{"address", console.HooksPath + t.Name})
	}
	for _, more := range [][]string{{"key", t.Key}, {"dedup", t.Dedup}, {"comment", t.Comment}} {
		if more[1] != "" {
			rows = append(rows, []string{more[0], printable(more[1])})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Inputs)) {
		rows = append(rows, []string{"input " + printable(name), printable(t.Inputs[name])})
	}
	if err := a.printTable(nil, rows); err != nil || len(t.Deliveries) == 0 {
		return err
	}
	deliveries := make([][]string, len(t.Deliveries))
	for i := range t.Deliveries {
		d := &t.Deliveries[i]
		deliveries[i] = []string{clock(d.Time), string(d.Outcome), dash(clip(d.ID, 40)), dash(d.Run), dash(clip(d.Reason, errorColumn))}
	}
	if _, err := fmt.Fprintln(a.stdout); err != nil {
		return err
	}
	return a.printTable([]string{"TIME", "OUTCOME", "ID", "RUN", "WHY"}, deliveries)
}
