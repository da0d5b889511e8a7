package yamldoc

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// PosAt is the place in the file of the byte at offset of [Node.Text]: it sees
// through quotes, escapes, indentation and folded lines. For blanks, which
// YAML may have made of a line break, it is the place of the next character
// that is none; for the end of the text, the place behind its last one. A value that an alias repeats is looked up where it is written.
func (n Node) PosAt(offset int) Pos {
	y := n.resolved()
	if y == nil || y.Kind != yaml.ScalarNode {
		return n.Pos()
	}
	text := y.Value[:min(max(offset, 0), len(y.Value))]
	scan := scalarScan{lines: n.doc.lines, line: max(y.Line, 1) - 1}
	if !scan.start(y.Column-1, y.Style) {
		return n.Pos()
	}
	for _, r := range text {
		if unicode.IsSpace(r) {
			continue
		}
		if !scan.skipBlanks() {
			return n.Pos()
		}
		scan.next()
	}
	if len(text) < len(y.Value) && !scan.skipBlanks() || scan.line >= len(scan.lines) {
		return n.Pos()
	}
	column := utf8.RuneCountInString(scan.lines[scan.line][:scan.at]) + 1
	return Pos{File: n.doc.file, Line: scan.line + 1, Column: column}
}

// scalarScan steps through the characters that a scalar is written with.
type scalarScan struct {
	lines []string
	line  int  // index of the current line
	at    int  // offset in the current line, in bytes
	quote byte // ' or " in a quoted scalar
}

// start moves to the first character of the content of the scalar that begins
// at the given column, counted from 0 in characters.
func (s *scalarScan) start(column int, style yaml.Style) bool {
	if s.line >= len(s.lines) {
		return false
	}
	for range column {
		_, size := utf8.DecodeRuneInString(s.rest())
		s.at += size
	}
	// A tag or an anchor stands before the content; the node begins there.
	for rest := s.rest(); rest != "" && (rest[0] == '!' || rest[0] == '&'); rest = s.rest() {
		end := strings.IndexFunc(rest, unicode.IsSpace)
		if end < 0 {
			return false
		}
		s.at += end
		if !s.skipBlanks() {
			return false
		}
	}
	rest := s.rest()
	switch {
	case style&yaml.SingleQuotedStyle != 0 && strings.HasPrefix(rest, "'"),
		style&yaml.DoubleQuotedStyle != 0 && strings.HasPrefix(rest, `"`):
		s.quote = rest[0]
		s.at++
	case style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		s.line, s.at = s.line+1, 0
	}
	return true
}

// rest is what is left of the current line.
func (s *scalarScan) rest() string { return s.lines[s.line][s.at:] }

// skipBlanks moves to the next character of the content that is no blank,
// which may be the current one. It returns false at the end of the file.
func (s *scalarScan) skipBlanks() bool {
	for s.line < len(s.lines) {
		rest := s.rest()
		trimmed := strings.TrimLeftFunc(rest, unicode.IsSpace)
		s.at += len(rest) - len(trimmed)
		if s.quote == '"' && strings.HasPrefix(trimmed, `\`) {
			if size, blank := escape(trimmed); blank {
				s.at += size
				continue
			}
		}
		if trimmed != "" {
			return true
		}
		s.line, s.at = s.line+1, 0
	}
	return false
}

// next moves past one character of the content, however it is written.
func (s *scalarScan) next() {
	rest := s.rest()
	switch {
	case s.quote == '\'' && strings.HasPrefix(rest, "''"):
		s.at += 2
	case s.quote == '"' && strings.HasPrefix(rest, `\`):
		size, _ := escape(rest)
		s.at += size
	default:
		_, size := utf8.DecodeRuneInString(rest)
		s.at += size
	}
}

// escape measures the escape sequence that text begins with, in bytes, and
// tells whether it stands for a blank or for nothing.
func escape(text string) (size int, blank bool) {
	if len(text) < 2 {
		return len(text), true // a line break that is left out
	}
	switch text[1] {
	case 'x':
		return hexEscape(text, 4)
	case 'u':
		return hexEscape(text, 6)
	case 'U':
		return hexEscape(text, 10)
	}
	_, size = utf8.DecodeRuneInString(text[1:])
	return 1 + size, strings.IndexByte("tnvfrNLP_ \t", text[1]) >= 0
}

func hexEscape(text string, size int) (int, bool) {
	if len(text) < size {
		return len(text), false
	}
	code, err := strconv.ParseInt(text[2:size], 16, 32)
	return size, err == nil && unicode.IsSpace(rune(code))
}
