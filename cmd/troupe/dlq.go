package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

func (a *app) dlqCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters, mend them, bring them back",
		Long: `A message that cannot be handled - it does not decode, or fails again and again -
becomes a dead letter and stays in the store until somebody deals with it.

  troupe dlq list                 what is there
  troupe dlq show ID              one with its payload
  troupe dlq edit ID --json …     mend its payload
  troupe dlq rehearse ID          what would happen, without it happening
  troupe dlq redrive ID           back to its queue
  troupe dlq delete ID            for good

` + reachTopic,
		Args: knownSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.dlqListCommand(), a.dlqShowCommand(), a.dlqEditCommand(), a.dlqDeleteCommand(),
		a.dlqRedriveCommand(), a.dlqRehearseCommand())
	return cmd
}

// letterFlags are the filter of a command.
type letterFlags struct {
	filter        console.LetterFilter
	since, before string
}

func (f *letterFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar((*string)(&f.filter.Queue), "queue", "", "of this queue")
	flags.StringVar(&f.filter.Type, "type", "", "with a payload of this type")
	flags.StringVar(&f.filter.Target, "target", "", "for this target id")
	flags.StringVar(&f.filter.Caller, "caller", "", "from this caller id")
	flags.StringVar(&f.filter.Request, "request", "", "of this request id")
	flags.StringVar(&f.filter.Trace, "trace", "", "of this trace id")
	flags.StringVar(&f.filter.ErrorType, "error-type", "", "with this kind of error, such as POISON")
	flags.StringVar(&f.filter.Contains, "text", "", "whose error message contains this")
	flags.StringVar(&f.since, "since", "", "that died at or after: 2026-05-01T12:00:00Z, or 2h for two hours ago")
	flags.StringVar(&f.before, "before", "", "that died before")
}

// read completes the filter.
func (f *letterFlags) read() (console.LetterFilter, error) {
	var err error
	if f.filter.Since, err = pointInTime("--since", f.since); err != nil {
		return f.filter, err
	}
	f.filter.Before, err = pointInTime("--before", f.before)
	return f.filter, err
}

// pointInTime reads a time, or how long ago it was.
func pointInTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usageError("%s: want a time such as 2026-05-01T12:00:00Z or 2026-05-01, or a duration such as 2h, got %q", flag, text)
}

// letterArgs reads the ids of letters.
func letterArgs(args []string) ([]store.LetterID, error) {
	ids := make([]store.LetterID, len(args))
	for i, arg := range args {
		n, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || n < 1 {
			return nil, usageError("want the ID of a letter, a number as troupe dlq list prints it, got %q", arg)
		}
		ids[i] = store.LetterID(n)
	}
	return ids, nil
}

// choiceFlags say which letters an action is for: those of its arguments, those of
// a filter, or all.
type choiceFlags struct {
	letterFlags
	all, yes, dryRun bool
}

func (f *choiceFlags) register(cmd *cobra.Command) {
	f.letterFlags.register(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all letters")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do it; needed without IDs")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "change nothing, say what would be done")
}

// choose reads which letters. More than those that are named need --yes or
// --dry-run.
func (f *choiceFlags) choose(verb string, args []string) (console.LetterChoice, error) {
	ids, err := letterArgs(args)
	if err != nil {
		return console.LetterChoice{}, err
	}
	filter, err := f.read()
	if err != nil {
		return console.LetterChoice{}, err
	}
	choice := console.LetterChoice{IDs: ids, Filter: filter, All: f.all}
	switch {
	case len(ids) > 0 && (f.all || !filter.IsZero()):
		return choice, usageError("%s takes IDs, or a filter, or --all; got several of them", verb)
	case f.all && !filter.IsZero():
		return choice, usageError("%s takes a filter or --all, got both", verb)
	case len(ids) == 0 && !f.all && filter.IsZero():
		return choice, usageError("%s needs IDs, a filter such as --queue, or --all", verb)
	case len(ids) == 0 && !f.yes && !f.dryRun:
		return choice, usageError("%s by a filter needs --yes; see first what it is for with --dry-run", verb)
	}
	return choice, nil
}

func (a *app) dlqListCommand() *cobra.Command {
	var reach reachFlags
	var filter letterFlags
	var limit int
	var after int64
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, the oldest first",
		Example: `  troupe dlq list --queue orders --since 24h
  troupe dlq list --error-type POISON -o json
  troupe dlq list --text "no such item"`,
		Args: noArguments,
	}
	cmd.RunE = reach.withMail(a, func(ctx context.Context, m *mail) error {
		f, err := filter.read()
		if err != nil {
			return err
		}
		page, err := m.Letters(ctx, console.LetterQuery{LetterFilter: f, After: store.LetterID(after), Limit: limit})
		if err != nil {
			return err
		}
		if a.output == outputJSON {
			return a.printJSON(page)
		}
		return a.printLetters(page)
	})
	cmd.Flags().IntVar(&limit, "limit", console.LettersDefault, fmt.Sprintf("letters at most, up to %d", console.LettersMax))
	cmd.Flags().Int64Var(&after, "after", 0, "only letters behind this `ID`, the last of the page before")
	filter.register(cmd)
	reach.register(cmd)
	return cmd
}

func (a *app) dlqShowCommand() *cobra.Command {
	var reach reachFlags
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a dead letter with its payload",
		Example: `  troupe dlq show 42`,
		Args:    oneLetter,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := letterArgs(args)
		if err != nil {
			return err
		}
		return reach.withMail(a, func(ctx context.Context, m *mail) error {
			letter, err := m.Letter(ctx, ids[0])
			if err != nil {
				return err
			}
			return a.printLetter(letter)
		})(cmd, nil)
	}
	reach.register(cmd)
	return cmd
}

// oneLetter checks that there is one argument.
func oneLetter(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError("%s needs one ID, got %d", cmd.CommandPath(), len(args))
	}
	_, err := letterArgs(args)
	return err
}

// payloadMax bounds a payload that is read from a file.
const payloadMax = 8 << 20

func (a *app) dlqEditCommand() *cobra.Command {
	var reach reachFlags
	var edit console.LetterEdit
	var payload string
	cmd := &cobra.Command{
		Use:   "edit ID",
		Short: "Change the payload, the type or the queue of a dead letter",
		Long: `Gives a dead letter another payload: as JSON, if its type is known to the node
that runs, or as raw bytes in hexadecimal. @FILE reads it from a file, @- from
standard input. With --version the edit is refused if the letter is not of that
version any more.

` + reachTopic,
		Example: `  troupe dlq edit 42 --json '{"item": "tea", "count": 2}'
  troupe dlq show 42 -o json | jq '.payload.count = 2 | .payload' | troupe dlq edit 42 --json @-
  troupe dlq edit 42 --queue orders-eu`,
		Args: oneLetter,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := letterArgs(args)
		if err != nil {
			return err
		}
		if payload != "" {
			text, err := readArgument(payload)
			if err != nil {
				return err
			}
			if !json.Valid(text) {
				return usageError("--json: want JSON, got %.60q", text)
			}
			edit.Payload = text
		}
		if payload == "" && edit.Hex == "" && edit.Type == "" && edit.Queue == "" {
			return usageError("troupe dlq edit needs --json, --hex, --type or --queue")
		}
		return reach.withMail(a, func(ctx context.Context, m *mail) error { return a.editLetter(ctx, m, ids[0], edit) })(cmd, nil)
	}
	flags := cmd.Flags()
	flags.StringVar(&payload, "json", "", "the payload as JSON; @FILE, @- for standard input")
	flags.StringVar(&edit.Hex, "hex", "", "the payload as raw bytes in hexadecimal")
	flags.StringVar(&edit.Type, "type", "", "the type of the payload")
	flags.StringVar((*string)(&edit.Queue), "queue", "", "where a redrive puts it")
	flags.Int64Var(&edit.Version, "version", 0, "the version that the edit is made for; 0 is the present one")
	reach.register(cmd)
	return cmd
}

// readArgument returns a text, or with @ that of a file.
func readArgument(text string) ([]byte, error) {
	path, isFile := strings.CutPrefix(text, "@")
	if !isFile {
		return []byte(text), nil
	}
	in := os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, payloadMax+1))
	if err == nil && len(data) > payloadMax {
		err = fmt.Errorf("%s: more than %d bytes", text, payloadMax)
	}
	return data, err
}

func (a *app) editLetter(ctx context.Context, m *mail, id store.LetterID, edit console.LetterEdit) error {
	if edit.Version == 0 {
		present, err := m.Letter(ctx, id)
		if err != nil {
			return err
		}
		edit.Version = present.Version
	}
	letter, err := m.EditLetter(ctx, id, edit)
	if err != nil {
		return err
	}
	if a.output == outputJSON {
		return a.printJSON(letter)
	}
	_, err = fmt.Fprintf(a.stdout, "letter %d: version %d\n", letter.ID, letter.Version)
	return err
}

func (a *app) dlqDeleteCommand() *cobra.Command {
	var reach reachFlags
	var choice choiceFlags
	cmd := &cobra.Command{
		Use:   "delete [ID…]",
		Short: "Remove dead letters for good",
		Example: `  troupe dlq delete 42 43
  troupe dlq delete --queue orders --before 2026-01-01 --dry-run
  troupe dlq delete --queue orders --before 2026-01-01 --yes`,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		chosen, err := choice.choose("troupe dlq delete", args)
		if err != nil {
			return err
		}
		return reach.withMail(a, func(ctx context.Context, m *mail) error {
			n, err := m.DeleteLetters(ctx, console.LetterDelete{LetterChoice: chosen, DryRun: choice.dryRun})
			if err != nil {
				return err
			}
			if a.output == outputJSON {
				return a.printJSON(console.Deleted{Letters: n, DryRun: choice.dryRun})
			}
			verb := "deleted"
			if choice.dryRun {
				verb = "would be deleted"
			}
			_, err = fmt.Fprintf(a.stdout, "%s %s\n", counted(n, "letter", "letters"), verb)
			return err
		})(cmd, nil)
	}
	choice.register(cmd)
	reach.register(cmd)
	return cmd
}

func (a *app) dlqRehearseCommand() *cobra.Command {
	var reach reachFlags
	cmd := &cobra.Command{
		Use:   "rehearse ID…",
		Short: "Say what would happen to dead letters, without it happening",
		Long: `Hands dead letters to the handler of their queue with its effects held back, and
prints what it would do: events, messages sent on, an answer, or the error it
would fail with. It needs a running node that has the handler. Exit code 0: all
would be handled; 1: one would fail.`,
		Example: `  troupe dlq rehearse 42
  troupe dlq rehearse 42 43 -o json`,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := letterArgs(args)
		if err != nil {
			return err
		}
		if n := len(ids); n == 0 || n > console.RehearsalsMax {
			return usageError("troupe dlq rehearse needs 1 to %d IDs, got %d", console.RehearsalsMax, n)
		}
		return reach.withMail(a, func(ctx context.Context, m *mail) error {
			done, err := m.Rehearse(ctx, ids)
			if err != nil {
				return err
			}
			return a.printRehearsals(done)
		})(cmd, nil)
	}
	reach.register(cmd)
	return cmd
}

// redriveFlags are how carefully to redrive.
type redriveFlags struct {
	choiceFlags
	rate, failShare float64
	wave, limit     int
	settle          time.Duration
}

func (a *app) dlqRedriveCommand() *cobra.Command {
	var reach reachFlags
	var flags redriveFlags
	cmd := &cobra.Command{
		Use:   "redrive [ID…]",
		Short: "Bring dead letters back to their queues",
		Long: `Puts dead letters back where they were, a wave at a time, and waits for what becomes
of each wave. When more than --fail-share of them fail again it stops, so that a
cause that is not mended does not fail them all. Ctrl-C stops it, too; what was
not brought back is still a dead letter. Exit code 0: all were brought back and
none failed; 1: it stopped, or some failed again.

Without a running node there is nobody to handle them: they wait in their queues
for the node's next start, and the command does not wait for them.`,
		Example: `  troupe dlq redrive 42
  troupe dlq redrive --queue orders --dry-run
  troupe dlq redrive --queue orders --yes --rate 50 --fail-share 0.1
  troupe dlq redrive --all --yes --limit 1000`,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		chosen, err := flags.choose("troupe dlq redrive", args)
		if err != nil {
			return err
		}
		if math.IsNaN(flags.rate) || flags.rate < 0 || math.IsInf(flags.rate, 0) {
			return usageError("--rate: want letters a second, 0 for no limit, got %v", flags.rate)
		}
		req := console.RedriveRequest{
			LetterChoice: chosen, Rate: flags.rate, Wave: flags.wave, FailShare: flags.failShare,
			SettleSeconds: flags.settle.Seconds(), Limit: flags.limit, DryRun: flags.dryRun,
		}
		return reach.withMail(a, func(ctx context.Context, m *mail) error {
			if m.local && req.SettleSeconds == 0 {
				req.SettleSeconds = -1
			}
			return a.redrive(ctx, m, req)
		})(cmd, nil)
	}
	f := cmd.Flags()
	f.Float64Var(&flags.rate, "rate", 0, "letters a second at most; 0 is as fast as they are handled")
	f.IntVar(&flags.wave, "wave", 0, "letters under way at a time; 0 is 500, or what a rate does in a second")
	f.Float64Var(&flags.failShare, "fail-share", 0, "share of failures that stops it, 1 is never; 0 is 0.5")
	f.DurationVar(&flags.settle, "settle", 0, "how long to wait for a wave; 0 is 1m, negative is not at all")
	f.IntVar(&flags.limit, "limit", 0, "letters at most; 0 is all")
	flags.register(cmd)
	reach.register(cmd)
	return cmd
}

// redrivePoll is the time between two looks at a redrive.
const redrivePoll = 200 * time.Millisecond

// redrive begins a redrive and follows it to its end.
func (a *app) redrive(ctx context.Context, m *mail, req console.RedriveRequest) error {
	r, err := m.Redrive(ctx, req)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(redrivePoll)
	defer ticker.Stop()
	shown := r.Redriven
	for !r.Done() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return a.abandonRedrive(ctx, m, r)
		}
		if r, err = m.RedriveOf(ctx, r.ID); err != nil {
			return err
		}
		if r.Redriven != shown && a.output == outputTable && isTerminal(a.stdout) {
			shown = r.Redriven
			fmt.Fprintf(a.stdout, "%d of %d brought back, %d handled, %d failed again\n", r.Redriven, r.Total, r.Handled, r.Failed)
		}
	}
	if err := a.printRedrive(m, r); err != nil {
		return err
	}
	if r.Stopped != "" || r.Failed > 0 {
		return &exitError{exitFailed, errReported}
	}
	return nil
}

// abandonRedrive stops a redrive that somebody has no patience for.
func (a *app) abandonRedrive(ctx context.Context, m *mail, r console.Redrive) error {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if _, err := m.StopRedrive(stop, r.ID); err != nil && !errors.Is(err, fault.NotFound) {
		return err
	}
	for {
		last, err := m.RedriveOf(stop, r.ID)
		if err != nil {
			return err
		}
		if last.Done() {
			return errors.Join(context.Cause(ctx), a.printRedrive(m, last))
		}
		timer := time.NewTimer(redrivePoll)
		select {
		case <-timer.C:
		case <-stop.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}
