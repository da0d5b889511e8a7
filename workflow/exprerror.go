package workflow

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/troupe-dev/troupe/internal/suggest"
)

// exprError is a mistake in an expression.
type exprError struct {
	offset  int // in bytes from the beginning of the expression
	message string
	hint    string
}

// offsetOf turns a line from 1 and a column from 0, in characters, into an
// offset in bytes.
func offsetOf(source string, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		next := strings.IndexByte(source[offset:], '\n')
		if next < 0 {
			return len(source)
		}
		offset += next + 1
	}
	for range column {
		_, size := utf8.DecodeRuneInString(source[offset:])
		offset += size
	}
	return offset
}

// explainIssues reports what the parser found. After the first mistake it only
// guesses, so that the first is all there is to tell.
func explainIssues(source string, issues *cel.Issues) []exprError {
	if len(issues.Errors()) == 0 {
		return []exprError{{message: issues.Err().Error()}}
	}
	first := issues.Errors()[0]
	offset := offsetOf(source, first.Location.Line(), first.Location.Column())
	message, hint := explainSyntax(strings.TrimPrefix(first.Message, "Syntax error: "), source[:offset])
	return []exprError{{offset: offset, message: "not an expression: " + message, hint: hint}}
}

// What the parser's generator says of a token that fits nowhere, of a character
// that begins none, and of one that is missing.
var (
	strayToken = regexp.MustCompile(`^(?:mismatched input|extraneous input|no viable alternative at input) '((?s:.*?))'(?: expecting .*)?$`)
	strayText  = regexp.MustCompile(`^token recognition error at: '((?s:.*))'$`)
	noToken    = regexp.MustCompile(`^missing (\S+) at '((?s:.*))'$`)
)

// foreign are the signs of other languages and what stands for them here.
var foreign = map[string]string{
	"=": "equality is ==", "<>": "inequality is !=", "and": "and is written &&", "or": "or is written ||", "not": "not is written !",
	"like": "s.contains('x'), s.startsWith('x') and s.matches('x.*') compare texts", "is": "is_null(x) tells whether x is null",
}

// explainSyntax says what the parser means. The text before the mistake tells
// whether a sign of another language led to it.
func explainSyntax(message, before string) (text, hint string) {
	const end = "<EOF>"
	before = strings.TrimRight(before, " \t\n")
	if m := noToken.FindStringSubmatch(message); m != nil {
		if m[2] == end {
			return m[1] + " is missing at the end", ""
		}
		return m[1] + " is missing before " + quote(m[2]), ""
	}
	if m := strayText.FindStringSubmatch(message); m != nil {
		if strings.HasPrefix(m[1], "'") || strings.HasPrefix(m[1], `"`) {
			return "the text that begins here is not closed", "add " + m[1][:1] + " at its end"
		}
		token := strings.TrimSpace(m[1])
		return "unexpected " + quote(token), foreign[token[:min(len(token), 1)]]
	}
	m := strayToken.FindStringSubmatch(message)
	switch {
	case m == nil:
		return message, ""
	case m[1] == end:
		return "it ends too early", ""
	case m[1] == ">" && strings.HasSuffix(before, "<"):
		return "unexpected " + quote(m[1]), foreign["<>"]
	}
	if hint = foreign[m[1]]; hint == "" {
		words := strings.FieldsFunc(before, func(r rune) bool { return r == ' ' || r == '(' || r == '!' })
		if len(words) > 0 && words[len(words)-1] == "not" {
			hint = foreign["not"]
		}
	}
	return "unexpected " + quote(m[1]), hint
}

// explainer says in the terms of columns and functions what CEL's type checker
// found.
type explainer struct {
	source string
	parsed *cel.Ast
	schema Schema
	inputs []string
	env    *cel.Env
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	noOverload = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
)

func (x *explainer) explain(issues *cel.Issues) []exprError {
	var out []exprError
	for _, issue := range issues.Errors() {
		e := exprError{
			offset:  offsetOf(x.source, issue.Location.Line(), issue.Location.Column()),
			message: issue.Message,
		}
		if m := undeclared.FindStringSubmatch(issue.Message); m != nil {
			x.explainName(&e, strings.TrimPrefix(m[1], "."), issue.ExprID)
		} else if m := noOverload.FindStringSubmatch(issue.Message); m != nil {
			explainOverload(&e, m[1], m[2])
		}
		out = append(out, e)
	}
	return out
}

func (x *explainer) explainName(e *exprError, name string, id int64) {
	if x.calls(id) {
		e.message = "unknown function " + quote(name)
		e.hint = suggest.DidYouMean(name, x.functionNames())
		return
	}
	if strings.HasPrefix(name, "inputs.") {
		e.message = "unknown input " + quote(name)
		if e.hint = suggest.DidYouMean(name, x.inputs); e.hint == "" {
			e.hint = listHint(x.inputs)
		}
		return
	}
	e.message = "unknown column " + quote(name)
	if e.hint = suggest.DidYouMean(name, append(x.schema.Names(), x.inputs...)); e.hint == "" {
		e.hint = listHint(x.schema.Names())
	}
}

// calls reports whether the expression with the given id is a call of a
// function.
func (x *explainer) calls(id int64) bool {
	found := false
	ast.PostOrderVisit(x.parsed.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.ID() == id && e.Kind() == ast.CallKind {
			found = true
		}
	}))
	return found
}

// functionNames lists the functions that can be called by a name.
func (x *explainer) functionNames() []string {
	var names []string
	for name := range x.env.Functions() {
		if !strings.HasPrefix(name, "_") && !strings.HasPrefix(name, "@") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func explainOverload(e *exprError, function, arguments string) {
	if symbol, ok := operators.FindReverse(function); ok && symbol != "" {
		function = symbol
	} else if function == operators.Conditional {
		function = "? :"
	}
	e.message = quote(function) + " cannot be applied to " + arguments
	// A member function's arguments read "double.(int)".
	list := strings.FieldsFunc(arguments, func(r rune) bool { return strings.ContainsRune("(), .", r) })
	switch {
	case slices.Contains(list, "null"):
		e.hint = "is_null(x) tells whether x is null"
	case slices.Contains(list, "double") && slices.Contains(list, "int"):
		e.hint = "int and double do not mix: write 1 as 1.0, or convert with double(x)"
	case slices.Contains(list, "date") && slices.Contains(list, "string"):
		e.hint = "write a date as date('2012-01-31')"
	case slices.Contains(list, "timestamp") && slices.Contains(list, "date"):
		e.hint = "convert with timestamp(date) or date(timestamp)"
	}
}

// listHint is a hint with all names, unless they are too many to help.
func listHint(names []string) string {
	const listMax = 20
	if len(names) == 0 || len(names) > listMax {
		return ""
	}
	return "expected one of " + strings.Join(names, ", ")
}
