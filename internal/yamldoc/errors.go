package yamldoc

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Pos is a place in a file. Line and Column count from 1, Column in
// characters. The zero Pos is no place.
type Pos struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// IsZero reports whether p is no place.
func (p Pos) IsZero() bool { return p == Pos{} }

// String is "file:line:column", without the parts that are unknown.
func (p Pos) String() string {
	s := p.File
	if p.Line > 0 {
		if s != "" {
			s += ":"
		}
		s += strconv.Itoa(p.Line)
		if p.Column > 0 {
			s += ":" + strconv.Itoa(p.Column)
		}
	}
	return s
}

// Error is one mistake in a document.
type Error struct {
	Pos
	// Path leads to the value, such as "nodes[2].with.columns"; empty at the
	// root.
	Path string `json:"path,omitempty"`
	// Message says what is wrong and what was expected.
	Message string `json:"message"`
	// Hint says what to do, such as a question with a name that is close. It
	// may be empty.
	Hint string `json:"hint,omitempty"`
}

// Error is one line: "file:line:column: path: message; hint".
func (e *Error) Error() string {
	var b strings.Builder
	for _, part := range []string{e.Pos.String(), e.Path, e.Message} {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// ErrorsMax bounds how many mistakes of one document are reported.
const ErrorsMax = 100

// Errors are all mistakes of a document in the order of their positions, and
// of their discovery where the positions are equal. It has at least one element.
type Errors []*Error

// Error has one line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the mistakes to errors.Is and errors.As.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, one := range e {
		errs[i] = one
	}
	return errs
}

// Join merges lists of mistakes into one that is sorted, has no mistake twice
// and at most [ErrorsMax] elements, the last of which then says how many were
// left off. It is nil if there are none, so that it can be compared to nil
// before it becomes an error.
func Join(lists ...Errors) Errors {
	return slices.Concat(lists...).sorted()
}

func (e Errors) sorted() Errors {
	if len(e) == 0 {
		return nil
	}
	e = slices.Clone(e)
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
	seen := make(map[Error]bool, len(e))
	e = slices.DeleteFunc(e, func(one *Error) bool {
		twice := seen[*one]
		seen[*one] = true
		return twice
	})
	if extra := len(e) - ErrorsMax; extra > 0 {
		last := *e[ErrorsMax-1]
		last.Path, last.Hint = "", ""
		last.Message = fmt.Sprintf("%d more mistakes from here on are not shown", extra+1)
		e = append(e[:ErrorsMax-1], &last)
	}
	return e
}
