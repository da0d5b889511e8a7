// Package yamldoc reads YAML, and JSON as a part of it, strictly and with
// positions.
//
// [Parse] turns a text into a [Document] within [Limits]; [Node.Decode] fills
// a Go struct from it. Unknown, duplicate and missing keys, values of a wrong
// type, further documents, merge keys and foreign tags are errors. Every error
// carries file, line, column and path, says what was expected, and suggests a
// name where one is close; all errors of a document are reported at once, in
// the order of their positions.
//
// A [Node] remembers where it stands, so that a check made later, once the
// values are understood, can point at the same place: Node.At finds the node
// of a path, and [Node.PosAt] a character within a text.
//
// Fields are described by struct tags:
//
//	Path string `yaml:"path,required" doc:"File to read."`
//
// An exported field without a yaml tag, or with the tag "-", is not read. A
// struct that is embedded without a tag lends its fields to the outer one.
package yamldoc

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits bounds what [Parse] accepts. The zero value of each field stands for
// its default.
type Limits struct {
	// BytesMax bounds the length of the text. Default 1 MiB.
	BytesMax int
	// DepthMax bounds how deep lists and mappings are nested. Default 64.
	DepthMax int
	// NodesMax bounds the number of values and keys, where one that is
	// repeated by an alias counts each time. Default 100,000.
	NodesMax int
}

func (l Limits) withDefaults() Limits {
	if l.BytesMax <= 0 {
		l.BytesMax = 1 << 20
	}
	if l.DepthMax <= 0 {
		l.DepthMax = 64
	}
	if l.NodesMax <= 0 {
		l.NodesMax = 100_000
	}
	return l
}

// Document is one parsed text. It is immutable and safe for concurrent use.
type Document struct {
	file  string
	lines []string // without their line breaks
	root  *yaml.Node
	// flaws are mistakes that do not hinder reading on, such as duplicate
	// keys, by the value that has them. They are reported by decoding.
	flaws map[*yaml.Node]Errors
}

// File is the name that was given to [Parse].
func (d *Document) File() string { return d.file }

// Root is the document's outermost value.
func (d *Document) Root() Node { return Node{doc: d, y: d.root} }

// Parse reads one YAML document. The name of the file is used in messages
// only. An error is of type [Errors].
func Parse(file string, text []byte, limits Limits) (*Document, error) {
	limits = limits.withDefaults()
	doc := &Document{file: file}
	if len(text) > limits.BytesMax {
		return nil, doc.fail(1, 1, "the text is longer than %d bytes", limits.BytesMax)
	}
	source := strings.TrimPrefix(string(text), "\ufeff")
	if line, column, what := badCharacter(source); what != "" {
		return nil, doc.fail(line, column, "%s", what)
	}
	doc.lines = splitLines(source)
	if err := doc.load(source); err != nil {
		return nil, err
	}
	if errs := doc.checkStructure(limits); len(errs) > 0 {
		return nil, errs.sorted()
	}
	return doc, nil
}

func (d *Document) fail(line, column int, format string, args ...any) Errors {
	return Errors{{Pos: Pos{File: d.file, Line: line, Column: column}, Message: fmt.Sprintf(format, args...)}}
}

// load sets d.root from the only document in source.
func (d *Document) load(source string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.fail(1, 1, "the text is not YAML: %v", p)
		}
	}()
	loader, err := yaml.NewLoader(strings.NewReader(source))
	if err != nil {
		return d.fail(1, 1, "the text is not YAML: %v", err)
	}
	var first, second yaml.Node
	if err := loader.Load(&first); err != nil && !errors.Is(err, io.EOF) {
		return d.syntaxError(err)
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) != 1 {
		return d.fail(1, 1, "the document is empty")
	}
	switch err := loader.Load(&second); {
	case err == nil:
		return d.fail(max(second.Line, 1), max(second.Column, 1), "a second document begins here; expected one document")
	case !errors.Is(err, io.EOF):
		return d.syntaxError(err)
	}
	d.root = first.Content[0]
	return nil
}

func (d *Document) syntaxError(err error) Errors {
	var loadErr *yaml.LoadError
	if !errors.As(err, &loadErr) {
		return d.fail(1, 1, "the text is not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	at := loadErr.Mark
	if at.Line < 1 {
		at = loadErr.ContextMark
	}
	line := min(max(at.Line, 1), max(len(d.lines), 1))
	column := at.Column
	if line < at.Line { // the mark is past the last line: point at its end
		column = utf8.RuneCountInString(d.lines[line-1]) + 1
	}
	message := loadErr.Message
	if rest := d.text(line, column); strings.HasPrefix(rest, "\t") && strings.TrimSpace(rest) != "" {
		message = "a tab is used for indentation; expected spaces"
	} else if from := loadErr.ContextMark; loadErr.ContextMsg != "" && from.Line > 0 {
		message += fmt.Sprintf(" (%s that begins at %d:%d)", loadErr.ContextMsg, from.Line, max(from.Column, 1))
	}
	return d.fail(line, max(column, 1), "the text is not YAML: %s", message)
}

// text is the text of a line from a column on, both counted from 1.
func (d *Document) text(line, column int) string {
	if line > len(d.lines) {
		return ""
	}
	runes := []rune(d.lines[line-1])
	return string(runes[min(max(column-1, 0), len(runes)):])
}

// badCharacter finds the first character that YAML does not allow. The empty
// string says that there is none.
func badCharacter(source string) (line, column int, what string) {
	line, column = 1, 1
	for i, r := range source {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(source[i:], "\ufffd"):
			return line, column, fmt.Sprintf("the byte 0x%02x is not UTF-8; expected a text in UTF-8", source[i])
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 && r != 0x85 ||
			r == 0xfeff || r == 0xfffe || r == 0xffff:
			return line, column, fmt.Sprintf("the character %U is not allowed", r)
		}
		column++
		if isBreak(r) && !(r == '\r' && strings.HasPrefix(source[i+1:], "\n")) {
			line, column = line+1, 1
		}
	}
	return 0, 0, ""
}

// isBreak reports whether YAML 1.1, and so the parser's line numbers, count r
// as the end of a line.
func isBreak(r rune) bool {
	return r == '\n' || r == '\r' || r == 0x85 || r == 0x2028 || r == 0x2029
}

func splitLines(source string) []string {
	var lines []string
	start := 0
	for i := 0; i < len(source); {
		r, size := utf8.DecodeRuneInString(source[i:])
		end := i
		i += size
		if !isBreak(r) {
			continue
		}
		if r == '\r' && strings.HasPrefix(source[i:], "\n") {
			i++
		}
		lines = append(lines, source[start:end])
		start = i
	}
	return append(lines, source[start:])
}
