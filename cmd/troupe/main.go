// Command troupe runs Troupe nodes and workflows.
//
//	troupe dev             a node with a console, a workflow and a demonstration
//	troupe run FILE        one workflow, to its end
//	troupe validate FILE   checks definitions
//	troupe nodes           the node types a definition can use
//	troupe dlq             looks at dead letters, mends them, brings them back
//	troupe store           checks, backs up and restores what a node keeps
//	troupe config          explains and checks the configuration
//	troupe doctor          checks the machine, the configuration and a running node
//	troupe version         what was built
//
// Results go to standard output, everything else to standard error. The exit
// codes are described by `troupe help exit-codes`.
package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	cobra.EnableCommandSorting = false // commands are listed in the order of their use
	a := &app{
		stdout: os.Stdout,
		stderr: os.Stderr,
		env:    os.Environ(),
		exit:   os.Exit,
	}
	os.Exit(int(a.run(os.Args[1:])))
}

// An app is one invocation of the command. Everything it reads and writes
// outside files is here.
type app struct {
	stdout, stderr io.Writer
	env            []string // "NAME=value"
	exit           func(code int)
	output         outputFormat // of -o
}
