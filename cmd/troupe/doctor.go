package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/node"
)

// A doctorReport is what `doctor -o json` prints.
type doctorReport struct {
	OK       bool           `json:"ok"` // nothing failed
	Findings []node.Finding `json:"findings"`
}

func (a *app) doctorCommand() *cobra.Command {
	var config configFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the machine, the configuration and a running node",
		Long: `Checks the configuration, the data directory, how long a durable write takes,
the clock and the port. If a node runs at the configured address, it is asked
for its health and for the depth of its supervision tree. Warnings do not
change the exit code.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := config.load(a)
			if err != nil {
				return err
			}
			built, _ := time.Parse(time.RFC3339, readBuildInfo().Time) // zero if not known
			diagnosis := node.Diagnosis{Settings: settings, Env: a.env, Built: built}
			report := doctorReport{OK: true, Findings: diagnosis.Diagnose(cmd.Context())}
			for _, f := range report.Findings {
				report.OK = report.OK && f.Status != node.FindingFail
			}
			if err := a.printFindings(report); err != nil {
				return err
			}
			if !report.OK {
				return &exitError{exitFailed, errReported}
			}
			return nil
		},
	}
	config.register(cmd)
	return cmd
}

// printFindings prints one line for each finding, and its hint below it.
func (a *app) printFindings(report doctorReport) error {
	if a.output == outputJSON {
		return a.printJSON(report)
	}
	rows := make([][]string, len(report.Findings))
	for i, f := range report.Findings {
		rows[i] = []string{string(f.Status), f.Check, f.Detail}
		if f.Hint != "" {
			rows[i][2] += fmt.Sprintf("; %s", f.Hint)
		}
	}
	return a.printTable(nil, rows)
}
