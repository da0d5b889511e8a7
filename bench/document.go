package main

import (
	"fmt"
	"os"
	"strings"
)

// The markers between which a document holds the table.
const (
	tableBegins = "<!-- measured: begin -->\n"
	tableEnds   = "<!-- measured: end -->\n"
)

// document is a Markdown file cut at its markers.
type document struct{ before, after string }

// readDocument returns the file around its table.
func readDocument(name string) (document, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return document{}, fmt.Errorf("read the document: %w", err)
	}
	before, rest, begins := strings.Cut(string(text), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		return document{}, fmt.Errorf("%s: no place for the table: a line %q and after it a line %q are expected",
			name, strings.TrimSpace(tableBegins), strings.TrimSpace(tableEnds))
	}
	return document{before + tableBegins, tableEnds + after}, nil
}

// writeDocument replaces the table in a file by this report's.
func (r *report) writeDocument(name string) error {
	d, err := readDocument(name)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(d.before)
	if err := r.writeMarkdown(&b); err != nil {
		return err
	}
	b.WriteString(d.after)
	if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}
