package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/node"
)

// configFlags collects the flags that set the configuration, in the order in
// which they were typed.
type configFlags struct {
	file   string
	values []node.Assignment
}

// register adds --config, --set and a flag for each setting that has one, or for
// those of the keys alone.
func (c *configFlags) register(cmd *cobra.Command, keys ...string) {
	flags := cmd.Flags()
	flags.StringVar(&c.file, "config", "", "configuration `FILE` (default troupe.yaml, if there is one)")
	flags.Var(&setFlag{c}, "set", "set any setting; see troupe config explain")
	for _, spec := range node.FlagSpecs() {
		if len(keys) > 0 && !slices.Contains(keys, spec.Key) {
			continue
		}
		f := flags.VarPF(&keyFlag{c, spec}, spec.Name, "", spec.Doc)
		if spec.Bool {
			f.NoOptDefVal = "true"
		}
	}
}

// load reads the configuration with everything that was typed.
func (c *configFlags) load(a *app) (*node.Settings, error) {
	return node.Load(node.Sources{File: c.file, Env: a.env, Flags: c.values})
}

// setDefault sets a key for this command; whatever else sets it is stronger.
func (c *configFlags) setDefault(s *node.Settings, key string, apply func(*node.Config)) {
	if s.Origin(key).Kind == node.FromDefault {
		apply(&s.Config)
	}
}

// keyFlag is the flag of one setting.
type keyFlag struct {
	into *configFlags
	spec node.FlagSpec
}

// String returns the default, for help texts.
func (f *keyFlag) String() string { return f.spec.Default }

// Set keeps the value; whether it is right is decided when all layers are read.
func (f *keyFlag) Set(text string) error {
	f.into.values = append(f.into.values, node.Assignment{Flag: "--" + f.spec.Name, Key: f.spec.Key, Value: text})
	return nil
}

// Type names the value in help texts.
func (f *keyFlag) Type() string {
	if f.spec.Bool {
		return "bool"
	}
	return "value"
}

// setFlag is --set KEY=VALUE.
type setFlag struct{ into *configFlags }

// String returns the default, which there is none of.
func (f *setFlag) String() string { return "" }

// Set takes KEY=VALUE.
func (f *setFlag) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return errors.New("want KEY=VALUE")
	}
	f.into.values = append(f.into.values, node.Assignment{Flag: "--set " + key, Key: key, Value: value})
	return nil
}

// Type names the value in help texts.
func (f *setFlag) Type() string { return "KEY=VALUE" }

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Explain or check the configuration",
		Long: `A setting is looked for in this order; the last place that has it counts:

  1. the default
  2. the file: --config FILE, else $TROUPE_CONFIG, else ./troupe.yaml
  3. a variable: http.port is TROUPE_HTTP_PORT
  4. a flag: --port 9000, or --set http.port=9000 for any setting

Secrets are given by reference, env:NAME or file:PATH, and never printed.`,
		Args: knownSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.configExplainCommand(), a.configCheckCommand())
	return cmd
}

func (a *app) configExplainCommand() *cobra.Command {
	var config configFlags
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Print every setting, its value, and where that was set",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			settings, err := config.load(a)
			if err != nil {
				return err
			}
			all := settings.Explain()
			if a.output == outputJSON {
				return a.printJSON(all)
			}
			rows := make([][]string, len(all))
			for i, e := range all {
				value := e.Value
				if value == "" {
					value = "-"
				}
				rows[i] = []string{e.Key, value, e.Origin.String(), e.Doc}
			}
			return a.printTable([]string{"KEY", "VALUE", "SET BY", "WHAT"}, rows)
		},
	}
	config.register(cmd)
	return cmd
}

// A configReport is what `config check -o json` prints.
type configReport struct {
	File     string        `json:"file"`
	OK       bool          `json:"ok"`
	Problems node.Problems `json:"problems"`
}

func (a *app) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file, without variables and flags",
		Args:  fileArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			report := configReport{File: args[0], OK: true, Problems: node.Problems{}}
			err := node.CheckFile(args[0])
			if err != nil && !errors.As(err, &report.Problems) {
				return err
			}
			report.OK = err == nil
			if a.output == outputJSON {
				if printed := a.printJSON(report); printed != nil {
					return printed
				}
				if err != nil {
					return &exitError{exitInvalid, errReported}
				}
				return nil
			}
			if err == nil {
				_, err = fmt.Fprintf(a.stdout, "%s: ok\n", args[0])
			}
			return err
		},
	}
}
