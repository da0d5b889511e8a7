package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/internal/suggest"
)

// run executes one command line and returns its exit code. An error has been
// printed when it returns.
func (a *app) run(args []string) exitCode {
	root := a.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if err != nil {
		a.printError(err)
	}
	return codeOf(err)
}

// printError writes an error, one line for each mistake it consists of.
func (a *app) printError(err error) {
	text := strings.TrimSpace(err.Error())
	if text == "" {
		return // a command that printed its own report
	}
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(a.stderr, "troupe: %s\n", line)
	}
}

func (a *app) rootCommand() *cobra.Command {
	a.output = outputTable
	root := &cobra.Command{
		Use:   "troupe",
		Short: "Actors, workflows and a console in one program",
		Long: `Troupe runs software made of actors: supervised, scheduled as workflows,
and visible while it runs.

Start with:  troupe dev`,
		Args:          knownSubcommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().VarP(&a.output, "output", "o", "how results are printed")
	root.AddCommand(
		a.devCommand(),
		a.runCommand(),
		a.validateCommand(),
		a.nodesCommand(),
		a.workflowCommand(),
		a.scheduleCommand(),
		a.triggerCommand(),
		a.clusterCommand(),
		a.dlqCommand(),
		a.storeCommand(),
		a.configCommand(),
		a.doctorCommand(),
		a.versionCommand(),
		exitCodesCommand(),
	)
	root.SetHelpCommand(helpCommand(root))
	return root
}

// helpCommand is cobra's help command with our errors: an unknown topic is a
// usage error that suggests one.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command or topic]",
		Short: "Explain a command or a topic",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownName("help topic", strings.Join(args, " "), subcommandNames(root))
			}
			return cmd.Help()
		},
	}
}

// knownSubcommand refuses arguments of a command that only has subcommands.
func knownSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownName("command", args[0], subcommandNames(cmd))
}

// subcommandNames returns the names below a command.
func subcommandNames(cmd *cobra.Command) []string {
	var names []string
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			names = append(names, sub.Name())
		}
	}
	return names
}

// unknownName is the usage error for a misspelt command or topic.
func unknownName(what, name string, known []string) error {
	hint := suggest.DidYouMean(name, known)
	if hint == "" {
		slices.Sort(known)
		hint = "there are: " + strings.Join(known, ", ")
	}
	return usageError("unknown %s %q; %s", what, name, hint)
}

// flagError turns pflag's errors into one line with a suggestion.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	if missing, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		name := missing.GetSpecifiedName()
		hint := "see troupe help " + strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), "troupe"))
		if close, ok := suggest.Closest(name, known); ok && len(name) > 1 {
			hint = fmt.Sprintf("did you mean \"--%s\"?", close)
		}
		dashes := "--"
		if missing.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		return usageError("unknown flag %s%s; %s", dashes, name, strings.TrimSpace(hint))
	}
	if without, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return usageError("--%s needs a value", without.GetSpecifiedName())
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return usageError("--%s: %v, got %q", invalid.GetFlag().Name, invalid.Unwrap(), invalid.GetValue())
	}
	return usageError("%v", err)
}

// noArguments refuses arguments.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("%s takes no arguments, got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// fileArgs returns a check for at least one FILE argument; most < 0 is no bound.
func fileArgs(most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usageError("%s needs a FILE; see troupe help %s", cmd.CommandPath(), strings.TrimPrefix(cmd.CommandPath(), "troupe "))
		case most >= 0 && len(args) > most:
			return usageError("%s takes %s, got %d", cmd.CommandPath(), counted(most, "FILE", "FILEs"), len(args))
		}
		return nil
	}
}

// counted returns a number with its noun.
func counted[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
