// Testsummary reads the events of "go test -json", prints what "go test" would
// have printed, and ends with a count of what ran. It exits with 1 when a test
// failed, when nothing ran, or when a test was skipped without leave: a green
// run then means that every test did run.
//
// It names each skipped test with its reason.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	allowSkips := flag.Bool("allow-skips", false, "name skipped tests, but do not fail for them")
	label := flag.String("label", "test", "name of this run in the summary")
	file := flag.String("o", "", "append the summary to this file as well")
	flag.Parse()

	if err := run(os.Stdin, os.Stdout, *label, *file, *allowSkips); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
}

// run copies the readable part of in to out and judges the run.
func run(in io.Reader, out io.Writer, label, file string, allowSkips bool) error {
	t := newTally(out)
	if err := t.read(in); err != nil {
		return err
	}
	text := t.summary(label)
	t.print(text)
	return errors.Join(t.verdict(allowSkips), appendTo(file, text))
}

// appendTo adds text to the end of a file. An empty name does nothing.
func appendTo(name, text string) error {
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
